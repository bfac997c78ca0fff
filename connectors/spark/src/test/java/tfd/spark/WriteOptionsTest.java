package tfd.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class WriteOptionsTest {
  private static Map<String, String> with(String name, String value) {
    Map<String, String> options = new HashMap<>(Map.of("coordinator", "host:7070", "job", "j"));
    options.put(name, value);
    return options;
  }

  private static String refused(Map<String, String> options) {
    return assertThrows(TfdException.class, () -> WriteOptions.parse(options)).getMessage();
  }

  @Test
  void NamesMayBeInAnyCaseAndTheRestHasDefaults() {
    WriteOptions options = WriteOptions.parse(with("BATCHbytes", "64KiB"));
    assertEquals("j", options.job);
    assertEquals("train", options.dataset);
    assertEquals("", options.producer);
    assertEquals(1 << 16, options.batchBytes);
    assertEquals(Duration.ofMinutes(2), options.timeout);
    assertEquals(Duration.ofMillis(300), WriteOptions.parse(with("timeout", "300ms")).timeout);
  }

  @Test
  void WhereAQueryKeepsItsStateIsNoBusinessOfTheFormat() {
    assertEquals("j", WriteOptions.parse(with("checkpointLocation", "/tmp/c")).job);
  }

  @Test
  void AnUnknownNameIsRefusedWithTheNearest() {
    assertTrue(refused(with("datset", "train")).contains("did you mean \"dataset\"?"));
    assertTrue(refused(with("batch_bytes", "1")).contains("did you mean \"batchBytes\"?"));
    assertTrue(refused(with("path", "/tmp")).contains("takes no path"));
  }

  @Test
  void AWrongValueIsRefusedWithWhatItMustBe() {
    assertTrue(refused(Map.of("job", "j")).startsWith("the option \"coordinator\" is missing"));
    assertTrue(refused(Map.of("coordinator", "h:1")).startsWith("the option \"job\" is missing"));
    for (String wrong : new String[] {"7070", "grpc://h:1", ":1", "h:", "h:x"}) {
      assertTrue(refused(with("coordinator", wrong)).contains("must be HOST:PORT"), wrong);
    }
    for (String wrong : new String[] {"0", "1023", "33MiB", "1GB", "-1", ""}) {
      assertTrue(refused(with("batchBytes", wrong)).contains("1KiB to 32MiB"), wrong);
    }
    for (String wrong : new String[] {"0s", "10", "soon", "-1s"}) {
      assertTrue(refused(with("timeout", wrong)).contains("such as 30s"), wrong);
    }
  }
}
