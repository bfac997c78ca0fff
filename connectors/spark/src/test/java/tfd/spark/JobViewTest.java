package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import org.junit.jupiter.api.Test;

class JobViewTest {
  private static JobView of(String json) throws Exception {
    return new JobView(new ObjectMapper().readTree(json.replace('\'', '"')));
  }

  @Test
  void TheColumnsAreThoseOfTheSpec() throws Exception {
    JobView job =
        of(
            "{'spec': {'data': {'train': {'columns':"
                + " {'features': 'age, height', 'label': 'sick'}}}}}");
    assertEquals(List.of("age", "height"), job.features("train"));
    assertEquals("sick", job.label("train"));
    assertEquals(List.of("features"), of("{}").features("train"));
    assertEquals("label", of("{}").label("train"));
  }

  @Test
  void AFailedJobSaysWhichTaskAndItsLastLines() throws Exception {
    JobView job =
        of(
            "{'state': 'FAILED', 'reason': 'worker/1 failed', 'cause': {'task': 'worker/1',"
                + " 'message': 'exit code 1', 'exit': {'last_lines': ['loss is NaN', 'bye']}}}");
    assertTrue(job.hasEnded());
    assertFalse(job.hasSucceeded());
    assertEquals("worker/1 failed: exit code 1; its last lines: loss is NaN / bye", job.cause());
    // Where no task did.
    assertEquals("no node is left", of("{'reason': 'no node is left'}").cause());
  }

  @Test
  void ProgressIsOneLine() throws Exception {
    JobView job =
        of("{'state': 'RUNNING', 'step': '40', 'total_steps': '360', 'reason': 'it trains'}");
    assertFalse(job.hasEnded());
    assertEquals("RUNNING, step 40 of 360 (it trains)", job.progress());
    assertEquals("PENDING", of("{'state': 'PENDING'}").progress());
  }

  @Test
  void AServingJobsSpecIsYamlWithAbsolutePaths() {
    String spec = ServingJobs.spec("/models/mnist", 3, 2, "names.txt");
    assertTrue(spec.contains("\"model\":\"/models/mnist\",\"top_k\":2"), spec);
    assertTrue(spec.contains("/names.txt\""), spec);
    assertTrue(spec.contains("\"worker\":{\"count\":3}"), spec);
    assertTrue(ServingJobs.spec("s3://bucket/m", 1, 1, "").contains("\"s3://bucket/m\""));
  }
}
