package probe;

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;

/** A job that does what its arguments ask for: how many records, how fast, where it fails. */
public final class Job {
    private Job() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        Thread.sleep(options.number("main-millis", 0));
        String awaited = options.text("main-waits-for", "");
        while (!awaited.isEmpty() && !Files.exists(Path.of(awaited))) {
            Thread.sleep(50);
        }
        switch (options.text("main", "run")) {
            case "throw" -> throw new IllegalArgumentException("the table of " + options.text("day", "today") + " is missing");
            case "exit" -> System.exit(3);
            case "nothing" -> System.out.println("nothing to do");
            case "twice" -> {
                submit(options, "first");
                submit(options, "second");
            }
            default -> submit(options, options.text("name", "probe"));
        }
    }

    private static void submit(Options options, String name) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        long checkpoint = options.number("checkpoint-millis", 0);
        if (checkpoint > 0) {
            env.enableCheckpointing(checkpoint);
        }
        var source =
                new DataGeneratorSource<>(
                        new Same(),
                        options.number("records", Long.MAX_VALUE),
                        RateLimiterStrategy.perSecond(options.number("per-second", 1000)),
                        Types.LONG);
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "numbers")
                .setParallelism((int) options.number("sources", 1))
                .uid("numbers")
                .map(new Stamp(options))
                .uid("stamp")
                .name("stamp")
                .keyBy(new OneKey())
                .map(new Count(options))
                .uid("count")
                .name("count")
                .sinkTo(new DiscardingSink<>())
                .uid("nowhere");
        env.executeAsync(name);
    }
}
