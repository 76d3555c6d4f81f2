package probe;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Writes one line to the file {@code --stamp} each time a run begins, and what it was given; passes numbers on. */
public final class Stamp extends RichMapFunction<Long, Long> {
    private static final Logger LOG = LoggerFactory.getLogger(Stamp.class);
    private final Options options;

    public Stamp(Options options) {
        this.options = options;
    }

    @Override
    public void open(OpenContext context) throws Exception {
        LOG.info("starting with --fail-at {}", options.text("fail-at", "never"));
        for (String line : options.text("log", "").split("\n")) {
            if (!line.isEmpty()) {
                LOG.info("says: {}", line);
            }
        }
        int attempt = getRuntimeContext().getTaskInfo().getAttemptNumber();
        if (getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0) {
            append(options.text("stamp", ""), getRuntimeContext().getJobInfo().getJobId() + " " + attempt + " " + options.toString().replace('\n', ' '));
        }
    }

    @Override
    public Long map(Long value) throws Exception {
        if (value == options.number("fail-at", -1)) {
            throw new IllegalStateException("record " + value + " cannot be read");
        }
        return value;
    }

    static void append(String file, String line) throws IOException {
        if (!file.isEmpty()) {
            Files.write(
                    Path.of(file),
                    (line + "\n").getBytes(StandardCharsets.UTF_8),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        }
    }
}
