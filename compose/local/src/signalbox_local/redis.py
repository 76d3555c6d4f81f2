"""Real Redis without persistence: what it holds may always be lost."""

from signalbox_local import folders, probe
from signalbox_local.errors import ProgramMissing
from signalbox_local.secret import password_in, write_private
from signalbox_local.server import Server
from signalbox_local.wheels import OWN_PROGRAM


class RedisServer(Server):
    """One Redis with a generated password. Empty after every start."""

    name = "redis"

    @property
    def url(self) -> str:
        """With the password; known once `start` was called."""
        return f"redis://:{(self.folder / 'password').read_text()}@127.0.0.1:{self.port}/0"

    def healthy(self) -> bool:
        return self.running() and probe.redis(self.url)

    def launch(self) -> None:
        if self.running():
            return
        program = self.programs.redis()
        if program is None:
            raise ProgramMissing("there is no Redis for this machine", OWN_PROGRAM["redis"])
        folders.make(self.folder)
        self.changed += self.book.settle("redis")
        configuration = self.folder / "redis.conf"  # not on the command line, where everybody could read the password
        write_private(
            configuration,
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {password_in(self.folder / 'password')}\n"
            'save ""\nappendonly no\ndaemonize no\n',
        )
        self.process.start([str(program), str(configuration)], life=self.life)
