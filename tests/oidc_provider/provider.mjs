// A real OpenID provider for tests: certified library, one client, accounts named by what is typed as login.
// Reads its configuration as JSON from the first argument; prints its issuer when it listens. PUT /test/keys rotates
// its key; PUT /test/audience makes it sign ID tokens for another client.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const wanted = JSON.parse(process.argv[2]);
const key = (kid) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' };
};

const made = (issuer) => {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: wanted.client_id,
        client_secret: wanted.client_secret,
        redirect_uris: wanted.redirect_uris,
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [key(randomUUID())] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    scopes: ['openid', 'profile', 'email'],
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `Person ${id}`, ...wanted.people[id] }),
    }),
    cookies: { keys: ['only for tests'] },
  });
  return provider;
};

let answer;
const server = createServer((request, response) => {
  if (request.method === 'PUT' && request.url === '/test/keys') {
    answer = made(issuer).callback();
    response.writeHead(204).end();
    return;
  }
  answer(request, response);
});
let issuer;
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  answer = made(issuer).callback();
  console.log(issuer);
});
