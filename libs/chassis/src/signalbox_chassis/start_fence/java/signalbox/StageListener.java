package signalbox;

import org.apache.spark.scheduler.JobFailed;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerApplicationEnd;
import org.apache.spark.scheduler.SparkListenerApplicationStart;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.scheduler.SparkListenerStageCompleted;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;

/** Reports jobs and stages to Signalbox, at most once a second and at the end. A report that fails changes nothing. */
public final class StageListener extends SparkListener {
  private final Fence fence = Fence.present() ? new Fence() : null;
  private String application = "";
  private String lastError = "";
  private boolean lastFailed;
  private boolean ended;
  private long jobsDone;
  private long jobsFailed;
  private long stagesDone;
  private long stagesActive;
  private long tasksDone;
  private long tasksTotal;
  private long reportedAt;

  @Override
  public void onApplicationStart(SparkListenerApplicationStart event) {
    application = event.appId().isDefined() ? event.appId().get() : "";
    report(true);
  }

  @Override
  public void onStageSubmitted(SparkListenerStageSubmitted event) {
    stagesActive++;
    tasksTotal += event.stageInfo().numTasks();
    report(false);
  }

  @Override
  public void onStageCompleted(SparkListenerStageCompleted event) {
    stagesActive--;
    stagesDone++;
    report(false);
  }

  @Override
  public void onTaskEnd(SparkListenerTaskEnd event) {
    if (event.taskInfo() != null && event.taskInfo().successful()) {
      tasksDone++;
    }
    report(false);
  }

  @Override
  public void onJobEnd(SparkListenerJobEnd event) {
    lastFailed = event.jobResult() instanceof JobFailed;
    if (lastFailed) {
      jobsFailed++;
      lastError = String.valueOf(((JobFailed) event.jobResult()).exception().getMessage());
    } else {
      jobsDone++;
    }
    report(lastFailed);
  }

  @Override
  public void onApplicationEnd(SparkListenerApplicationEnd event) {
    ended = true;
    report(true);
  }

  private void report(boolean now) {
    long at = System.nanoTime();
    if (fence == null || !now && reportedAt != 0 && at - reportedAt < 1_000_000_000L) {
      return;
    }
    reportedAt = at;
    fence.post("progress", "\"application\":" + Fence.quoted(Fence.cut(application, 255))
        + ",\"jobs_done\":" + jobsDone + ",\"jobs_failed\":" + jobsFailed + ",\"last_job_failed\":" + lastFailed
        + ",\"last_error\":" + Fence.quoted(Fence.cut(lastError, 2000)) + ",\"stages_done\":" + stagesDone
        + ",\"stages_active\":" + Math.max(stagesActive, 0) + ",\"tasks_done\":" + tasksDone
        + ",\"tasks_total\":" + tasksTotal + ",\"ended\":" + ended, now ? 10 : 0);
  }
}
