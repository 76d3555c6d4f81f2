package probe;

import java.io.Serializable;
import java.util.TreeMap;

/** The arguments of a job, as pairs of {@code --key value}; what has no key is kept as {@code arg0} and so on. */
public final class Options implements Serializable {
    private final TreeMap<String, String> values = new TreeMap<>();

    public Options(String[] args) {
        int loose = 0;
        for (int at = 0; at < args.length; at++) {
            if (args[at].startsWith("--") && at + 1 < args.length) {
                values.put(args[at].substring(2), args[++at]);
            } else {
                values.put("arg" + loose++, args[at]);
            }
        }
    }

    public String text(String key, String otherwise) {
        return values.getOrDefault(key, otherwise);
    }

    public long number(String key, long otherwise) {
        return Long.parseLong(values.getOrDefault(key, Long.toString(otherwise)));
    }

    /** All pairs on one line, by key. */
    @Override
    public String toString() {
        return values.toString();
    }
}
