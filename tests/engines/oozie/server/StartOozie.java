import java.util.Arrays;
import org.apache.oozie.server.EmbeddedOozieServer;

/** Starts Oozie. Its Jetty 9.3 ends at a version of Java with four numbers, as security updates have (17.0.21.1). */
public final class StartOozie {
    public static void main(String[] arguments) throws Exception {
        String[] numbers = System.getProperty("java.version").split("\\.");
        System.setProperty("java.version", String.join(".", Arrays.copyOf(numbers, Math.min(numbers.length, 3))));
        EmbeddedOozieServer.main(arguments);
    }
}
