package signalbox;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.Base64;
import java.util.UUID;

/** Runs the main class named by its first argument behind Signalbox's start fence. */
public final class Launcher {
  private static final int CANNOT_ASK = 75;
  private static final int CANNOT_REPORT = 74;
  private static final int MAX_RESULT_BYTES = 16384;
  private static volatile String error = "";
  private static volatile boolean returned;

  private Launcher() {
  }

  public static void main(String[] words) throws Throwable {
    Fence fence = new Fence();
    claim(fence);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> report(fence), "signalbox end"));
    try {
      Class<?> entry = Class.forName(words[0], true, Thread.currentThread().getContextClassLoader());
      Method main = entry.getMethod("main", String[].class);
      if (!Modifier.isStatic(main.getModifiers())) {
        throw new NoSuchMethodException("main(String[]) is not static");
      }
      main.invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
      returned = true;
    } catch (ClassNotFoundException missing) {
      error = missingFile();
      if (error.isEmpty()) {
        error = "the main class " + words[0] + " is in none of the JARs";
      }
      throw missing;
    } catch (NoSuchMethodException missing) {
      error = words[0] + " has no method main(String[])";
      throw missing;
    } catch (InvocationTargetException failed) {
      error = failed.getCause().toString();
      throw failed.getCause();
    } catch (Throwable failed) { // a class that cannot be initialized, loaded by this Java, or called
      error = failed.toString();
      throw failed;
    }
  }

  /** Which of the JARs the worker does not have: Spark leaves it out with a warning. */
  private static String missingFile() {
    String jars = System.getProperty("spark.jars", "");
    for (String jar : jars.split(",")) {
      String path = jar.startsWith("local:") || jar.startsWith("file:") ? jar.substring(jar.indexOf(':') + 1) : jar;
      if (!path.isEmpty() && !path.contains("://") && !new File(path).exists()) {
        return "the application " + jar + " does not exist on this worker";
      }
    }
    return "";
  }

  private static void claim(Fence fence) {
    String seconds = System.getenv("SIGNALBOX_CLAIM_SECONDS");
    String nonce = "\"nonce\":" + Fence.quoted(UUID.randomUUID().toString().replace("-", ""));
    Fence.Answer answer = fence.post("claim", nonce, seconds == null ? 120 : Double.parseDouble(seconds));
    if (answer.status == 200) {
      return;
    }
    if (answer.status == 409) {
      System.err.println("signalbox: the application is not started: " + answer.reason);
      System.exit(0);
    }
    System.err.println("signalbox: the application is not started, for its start could not be claimed at "
        + fence.url() + ": " + answer.reason);
    System.exit(CANNOT_ASK);
  }

  private static void report(Fence fence) {
    String result = result();
    if (!error.isEmpty()) {
      System.err.println("signalbox: the application failed: " + error);
    }
    String exit = exitPlace();
    if (error.isEmpty() && !exit.isEmpty()) {
      System.err.println("signalbox: System.exit was called at " + exit + "; Java does not tell its exit code");
    }
    String code = !error.isEmpty() ? "\"exit_code\":1," : returned && exit.isEmpty() ? "\"exit_code\":0," : "";
    String fields = code + "\"error\":" + Fence.quoted(Fence.cut(error, 4000)) + result;
    boolean kept = returned && !result.isEmpty();
    // not returned and no error: SIGTERM or System.exit. A worker kills 10 s after SIGTERM
    Fence.Answer answer = fence.post("end", fields, kept ? 600 : code.isEmpty() ? 5 : 20);
    if (answer.status != 200 && kept) {
      System.err.println("signalbox: the result could not be reported: " + answer.reason);
      System.err.flush();
      Runtime.getRuntime().halt(CANNOT_REPORT); // as exit code 0 it would be a success without a result
    }
  }

  /**
   * Where System.exit was called, if that ends the JVM: its caller waits for the hooks. Empty after a signal, and if
   * Spark calls it because main has returned.
   */
  private static String exitPlace() {
    String place = "";
    for (StackTraceElement[] stack : Thread.getAllStackTraces().values()) {
      int caller = 0;
      for (int i = 0; i < stack.length; i++) {
        String name = stack[i].getClassName();
        if (name.startsWith("java.lang.Terminator")) {
          return "";
        }
        boolean exits = name.equals("java.lang.Runtime") || name.equals("java.lang.System");
        if (exits && stack[i].getMethodName().equals("exit") && i + 1 < stack.length) {
          caller = i + 1;
        }
      }
      if (caller > 0 && !(returned && isSubmit(stack, caller))) {
        int line = stack[caller].getLineNumber();
        String method = stack[caller].getClassName() + "." + stack[caller].getMethodName();
        place = method + (line > 0 ? " line " + line : "");
      }
    }
    return place;
  }

  /** Whether spark-submit made this call: spark.submit.callSystemExitOnMainExit. Its watcher of a worker ends by -1. */
  private static boolean isSubmit(StackTraceElement[] stack, int from) {
    for (int i = from; i < stack.length; i++) {
      String name = stack[i].getClassName();
      if (!name.startsWith("org.apache.spark.util.CommandLine") && !name.startsWith("scala.")) {
        return name.startsWith("org.apache.spark.deploy.SparkSubmit");
      }
    }
    return false;
  }

  private static String result() {
    File file = new File("signalbox-result.json").getAbsoluteFile();
    if (!file.isFile()) {
      return "";
    }
    try (RandomAccessFile open = new RandomAccessFile(file, "r")) {
      byte[] data = new byte[(int) Math.min(open.length(), MAX_RESULT_BYTES + 1)];
      open.readFully(data);
      return ",\"result\":\"" + Base64.getEncoder().encodeToString(data) + "\",\"result_bytes\":" + open.length();
    } catch (IOException failed) {
      return "";
    }
  }
}
