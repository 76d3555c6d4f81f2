import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.UUID;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Sends one CloudEvent to Signalbox in binary mode, signed as Standard Webhooks ask for. Java 11 or newer, no libraries.
 *
 * <pre>SIGNALBOX_URL=http://127.0.0.1:8000 SIGNING_SECRET=whsec_… java SendEvent.java lake file.created '{"path":"/in/a"}'</pre>
 */
public class SendEvent {
    public static void main(String[] args) throws Exception {
        String id = args.length > 3 ? args[3] : UUID.randomUUID().toString();
        long sentAt = System.currentTimeMillis() / 1000;
        byte[] key = Base64.getDecoder().decode(System.getenv("SIGNING_SECRET").substring("whsec_".length()));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        byte[] signature = mac.doFinal((id + "." + sentAt + "." + args[2]).getBytes(StandardCharsets.UTF_8));
        HttpRequest request = HttpRequest.newBuilder(URI.create(System.getenv("SIGNALBOX_URL") + "/api/v1/events/" + args[0]))
                .timeout(Duration.ofSeconds(30))
                .header("Content-Type", "application/json")
                .header("ce-specversion", "1.0")
                .header("ce-type", args[1])
                .header("ce-source", args[0])
                .header("ce-id", id)
                .header("webhook-id", id)
                .header("webhook-timestamp", Long.toString(sentAt))
                .header("webhook-signature", "v1," + Base64.getEncoder().encodeToString(signature))
                .POST(HttpRequest.BodyPublishers.ofString(args[2]))
                .build();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body());
        if (answer.statusCode() != 202) {
            System.exit(1);
        }
    }
}
