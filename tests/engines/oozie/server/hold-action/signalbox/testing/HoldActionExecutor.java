package signalbox.testing;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.apache.oozie.action.ActionExecutor;
import org.apache.oozie.action.ActionExecutorException;
import org.apache.oozie.client.WorkflowAction;
import org.apache.oozie.util.XmlUtils;
import org.jdom.Element;

/**
 * A test-only asynchronous action: it stays RUNNING until a local file says how it ends.
 * No file: RUNNING. First word OK, FAIL: ends so; the rest of the line is the error message.
 */
public class HoldActionExecutor extends ActionExecutor {

    public HoldActionExecutor() {
        super("hold");
    }

    private static Path file(WorkflowAction action) throws ActionExecutorException {
        try {
            Element e = XmlUtils.parseXml(action.getConf());
            return Paths.get(e.getChildTextTrim("file", e.getNamespace()));
        } catch (Exception e) {
            throw new ActionExecutorException(ActionExecutorException.ErrorType.FAILED, "HOLD001", e.getMessage());
        }
    }

    private static String read(WorkflowAction action) throws ActionExecutorException {
        Path p = file(action);
        try {
            return Files.exists(p) ? new String(Files.readAllBytes(p), StandardCharsets.UTF_8).trim() : "";
        } catch (IOException e) {
            return "";
        }
    }

    @Override
    public void start(Context context, WorkflowAction action) throws ActionExecutorException {
        context.setStartData("hold-" + action.getId(), "-", context.getCallbackUrl("$status"));
        check(context, action);
    }

    @Override
    public void check(Context context, WorkflowAction action) throws ActionExecutorException {
        String word = read(action);
        if (!word.isEmpty()) {
            context.setExecutionData(word.split("\\s", 2)[0], null);
        }
    }

    @Override
    public void end(Context context, WorkflowAction action) throws ActionExecutorException {
        if ("OK".equals(action.getExternalStatus())) {
            context.setEndData(WorkflowAction.Status.OK, WorkflowAction.Status.OK.toString());
        } else {
            String[] words = read(action).split("\\s", 2);
            context.setErrorInfo("HOLD002", words.length > 1 ? words[1] : "the file says FAIL");
            context.setEndData(WorkflowAction.Status.ERROR, WorkflowAction.Status.ERROR.toString());
        }
    }

    @Override
    public void kill(Context context, WorkflowAction action) throws ActionExecutorException {
        context.setExternalStatus("KILLED");
        context.setEndData(WorkflowAction.Status.KILLED, WorkflowAction.Status.ERROR.toString());
    }

    @Override
    public boolean isCompleted(String externalStatus) {
        return externalStatus != null && !externalStatus.isEmpty() && !"RUNNING".equals(externalStatus);
    }
}
