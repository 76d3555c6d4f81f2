package probe;

import org.apache.flink.connector.datagen.source.GeneratorFunction;

/** Each number as it is. */
public final class Same implements GeneratorFunction<Long, Long> {
    @Override
    public Long map(Long value) {
        return value;
    }
}
