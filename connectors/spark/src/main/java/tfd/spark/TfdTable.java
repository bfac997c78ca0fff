package tfd.spark;

import java.util.EnumSet;
import java.util.Set;
import org.apache.spark.sql.connector.catalog.SupportsWrite;
import org.apache.spark.sql.connector.catalog.TableCapability;
import org.apache.spark.sql.connector.write.BatchWrite;
import org.apache.spark.sql.connector.write.LogicalWriteInfo;
import org.apache.spark.sql.connector.write.Write;
import org.apache.spark.sql.connector.write.WriteBuilder;
import org.apache.spark.sql.connector.write.streaming.StreamingWrite;
import org.apache.spark.sql.types.StructType;

/** A pushed dataset of a job, as Spark sees it: something that can be appended to. */
final class TfdTable implements SupportsWrite {
  private final StructType schema;

  TfdTable(StructType schema) {
    this.schema = schema;
  }

  @Override
  public String name() {
    return TfdDataSource.NAME;
  }

  // Spark 4 asks for columns() instead, which by default are made of this.
  @Override
  @SuppressWarnings("deprecation")
  public StructType schema() {
    return schema;
  }

  @Override
  public Set<TableCapability> capabilities() {
    return EnumSet.of(
        TableCapability.BATCH_WRITE,
        TableCapability.STREAMING_WRITE,
        TableCapability.ACCEPT_ANY_SCHEMA);
  }

  @Override
  public WriteBuilder newWriteBuilder(LogicalWriteInfo info) {
    // All that can be refused without a question to the coordinator is refused here.
    WriteOptions options = WriteOptions.parse(info.options().asCaseSensitiveMap());
    RowEncoder.check(info.schema());
    return new WriteBuilder() {
      @Override
      public Write build() {
        return new Write() {
          @Override
          public String description() {
            return options.toString();
          }

          @Override
          public BatchWrite toBatch() {
            return TfdBatchWrite.plan(options, info.schema(), info.queryId());
          }

          @Override
          public StreamingWrite toStreaming() {
            return new TfdStreamingWrite(options, info.schema(), info.queryId());
          }
        };
      }
    };
  }
}
