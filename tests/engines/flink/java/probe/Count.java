package probe;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;

/** Counts in Flink's state, and writes each count with its number to the file {@code --counts}. */
public final class Count extends RichMapFunction<Long, Long> {
    private final Options options;
    private transient ValueState<Long> count;

    public Count(Options options) {
        this.options = options;
    }

    @Override
    public void open(OpenContext context) {
        count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
    }

    @Override
    public Long map(Long value) throws Exception {
        Long before = count.value();
        long now = before == null ? 1 : before + 1;
        count.update(now);
        Stamp.append(options.text("counts", ""), now + " " + value);
        Thread.sleep(options.number("slow-millis", 0));
        return now;
    }
}
