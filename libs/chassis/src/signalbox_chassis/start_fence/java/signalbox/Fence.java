package signalbox;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/** The claims of one run, at Signalbox's API. Java 8 and newer; nothing but the JDK. */
final class Fence {
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

  /** Status and text of an answer that settles it; status 0 when there was none in time. */
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
        return new Answer(0, answer.text);
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
      return new Answer(status, stream == null ? "" : read(stream, 8192));
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

  static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char one : text.toCharArray()) {
      if (one == '"' || one == '\\') {
        out.append('\\').append(one);
      } else if (one < ' ' || Character.isSurrogate(one)) {
        out.append(String.format("\\u%04x", (int) (one < ' ' ? one : '?')));
      } else {
        out.append(one);
      }
    }
    return out.append('"').toString();
  }

  static String cut(String text, int limit) {
    return text.length() <= limit ? text : text.substring(0, limit);
  }

  /** What Signalbox answered. */
  static final class Answer {
    final int status;
    final String text;

    Answer(int status, String text) {
      this.status = status;
      this.text = text;
    }

    String detail() {
      int at = text.indexOf("\"detail\":\"");
      int end = at < 0 ? -1 : text.indexOf('"', at + 10);
      return end < 0 ? text : text.substring(at + 10, end);
    }
  }
}
