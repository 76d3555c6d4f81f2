package signalbox;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The claims of one run, at Signalbox's API. Java 8 and newer; nothing but the JDK. */
final class Fence {
  // possessive: text that does not match costs no second look
  private static final Pattern DETAIL =
      Pattern.compile("\"detail\"\\s*:\\s*\"((?:[^\"\\\\]++|\\\\(?:u[0-9a-fA-F]{4}|[^u]))*+)\"");
  private final String url = System.getenv("SIGNALBOX_START_URL");
  private final String secret = System.getenv("SIGNALBOX_START_SECRET");
  private final String run;

  Fence() {
    String named = System.getenv("SIGNALBOX_START_RUN");
    run = named == null || named.isEmpty() ? new File("").getAbsoluteFile().getName() : named;
  }

  static boolean present() {
    return System.getenv("SIGNALBOX_START_URL") != null && System.getenv("SIGNALBOX_START_SECRET") != null;
  }

  String url() {
    return url;
  }

  /** Status and reason of an answer that settles it; status 0 when there was none in time. */
  Answer post(String name, String fields, double seconds) {
    long deadline = System.nanoTime() + (long) (seconds * 1e9);
    long wait = 250;
    while (true) {
      Answer answer = once(name, fields);
      if (answer.status == 200 || answer.status == 401 || answer.status == 404 || answer.status == 409
          || answer.status == 422) {
        return answer;
      }
      if (System.nanoTime() + wait * 1_000_000 > deadline) {
        return new Answer(0, answer.reason);
      }
      try {
        Thread.sleep(wait);
      } catch (InterruptedException error) {
        return new Answer(0, "interrupted");
      }
      wait = Math.min(wait * 2, 5000);
    }
  }

  private Answer once(String name, String fields) {
    try {
      HttpURLConnection connection = (HttpURLConnection) new URL(url + "/" + name).openConnection();
      connection.setConnectTimeout(10_000);
      connection.setReadTimeout(10_000);
      connection.setRequestMethod("POST");
      connection.setDoOutput(true);
      connection.setInstanceFollowRedirects(false);
      connection.setRequestProperty("Content-Type", "application/json");
      connection.setRequestProperty("Authorization", "Bearer " + secret);
      byte[] body = ("{\"run\":" + quoted(run) + (fields.isEmpty() ? "" : "," + fields) + "}")
          .getBytes(StandardCharsets.UTF_8);
      try (OutputStream out = connection.getOutputStream()) {
        out.write(body);
      }
      int status = connection.getResponseCode();
      InputStream stream = status < 400 ? connection.getInputStream() : connection.getErrorStream();
      String text = stream == null ? "" : read(stream, 8192);
      if (status == 200 && !text.trim().startsWith("{")) {
        return new Answer(0, "what answers is not Signalbox");
      }
      return new Answer(status, status == 200 ? "" : detail(status, text));
    } catch (IOException | RuntimeException error) {
      return new Answer(0, error.toString());
    }
  }

  private static String read(InputStream stream, int limit) throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    byte[] part = new byte[1024];
    int count;
    while (text.size() < limit && (count = stream.read(part)) > 0) {
      text.write(part, 0, count);
    }
    stream.close();
    return new String(text.toByteArray(), StandardCharsets.UTF_8);
  }

  /** As JSON, with a replacement for what UTF-8 and PostgreSQL cannot hold: half of a pair, and zero characters. */
  static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (int at = 0; at < text.length(); at++) {
      char one = text.charAt(at);
      if (one == '"' || one == '\\') {
        out.append('\\').append(one);
      } else if (Character.isHighSurrogate(one) && at + 1 < text.length()
          && Character.isLowSurrogate(text.charAt(at + 1))) {
        out.append(one).append(text.charAt(++at));
      } else if (one == 0 || Character.isSurrogate(one)) {
        out.append('\ufffd');
      } else if (one < ' ') {
        out.append(String.format("\\u%04x", (int) one));
      } else {
        out.append(one);
      }
    }
    return out.append('"').toString();
  }

  /** The reason in a problem of the API; a proxy in between may answer with anything. */
  private static String detail(int status, String text) {
    Matcher found = DETAIL.matcher(text);
    if (!text.trim().startsWith("{") || !found.find()) {
      return "status " + status;
    }
    StringBuilder reason = new StringBuilder();
    String quoted = found.group(1);
    for (int at = 0; at < quoted.length(); at++) {
      char one = quoted.charAt(at);
      if (one != '\\') {
        reason.append(one);
      } else if (quoted.charAt(++at) == 'u') {
        reason.append((char) Integer.parseInt(quoted.substring(at + 1, at + 5), 16));
        at += 4;
      } else {
        int known = "nrtbf".indexOf(quoted.charAt(at));
        reason.append(known < 0 ? quoted.charAt(at) : "\n\r\t\b\f".charAt(known));
      }
    }
    return reason.toString();
  }

  static String cut(String text, int limit) {
    return text.length() <= limit ? text : text.substring(0, limit);
  }

  /** What Signalbox answered; the reason is empty when it agreed. */
  static final class Answer {
    final int status;
    final String reason;

    Answer(int status, String reason) {
      this.status = status;
      this.reason = reason;
    }
  }
}
