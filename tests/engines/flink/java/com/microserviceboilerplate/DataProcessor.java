package com.microserviceboilerplate;

import java.util.ArrayList;
import java.util.List;
import probe.Job;

/** The data processor of the document's example: a short job that writes the configuration it got to a file. */
public final class DataProcessor {
    private DataProcessor() {}

    public static void main(String[] args) throws Exception {
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of("--stamp", System.getProperty("probe.folder") + "/data-processor", "--records", "20"));
        Job.main(all.toArray(new String[0]));
    }
}
