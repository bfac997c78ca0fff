package tfd.spark;

import java.util.ArrayList;
import java.util.List;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.Schema;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/** Makes Arrow record batches of Spark's rows. Thread-compatible. */
final class RowEncoder implements AutoCloseable {
  private final StructField[] fields;
  private final ColumnEncoder[] columns;
  private final Schema schema;
  private final long batchBytes;
  private int rows;
  private long rowsBefore;

  /** Batches end once they have this many bytes. */
  RowEncoder(StructType type, BufferAllocator allocator, long batchBytes) {
    this.batchBytes = batchBytes;
    fields = type.fields();
    columns = new ColumnEncoder[fields.length];
    List<Field> arrow = new ArrayList<>();
    for (int i = 0; i < fields.length; i++) {
      columns[i] = ColumnEncoder.of(i, fields[i].dataType(), allocator);
      arrow.add(columns[i].field(fields[i].name(), fields[i].nullable()));
    }
    schema = new Schema(arrow);
  }

  /** TfdException that names the column, unless rows of this type are pushed. */
  static void check(StructType type) {
    if (type.fields().length == 0) {
      throw new TfdException("there are no columns to push");
    }
    for (StructField field : type.fields()) {
      ColumnType.check(field);
    }
  }

  Schema schema() {
    return schema;
  }

  int rows() {
    return rows;
  }

  /** True once the batch should be finished. */
  boolean append(InternalRow row) {
    long bytes = 0;
    for (ColumnEncoder column : columns) {
      if (row.isNullAt(column.ordinal)) {
        // What becomes of it is the job's to say: nulls, of its dataset.
        column.appendNull(rows);
      } else {
        appendValue(column, row);
      }
      bytes += column.bytes();
    }
    rows++;
    return bytes >= batchBytes;
  }

  private void appendValue(ColumnEncoder column, InternalRow row) {
    try {
      column.append(row);
    } catch (ColumnEncoder.NullElement e) {
      throw new TfdException(
          "column \""
              + fields[column.ordinal].name()
              + "\" has a null inside in row "
              + (rowsBefore + rows)
              + " of this partition: fill such nulls or drop them, for example with"
              + " transform(ARRAY, x -> coalesce(x, 0))");
    }
  }

  /** The batch so far, which the caller closes; the next one begins empty. */
  ArrowRecordBatch finish() {
    List<ArrowFieldNode> nodes = new ArrayList<>();
    List<ArrowBuf> buffers = new ArrayList<>();
    for (ColumnEncoder column : columns) {
      column.finish(rows, nodes, buffers);
    }
    ArrowRecordBatch batch = new ArrowRecordBatch(rows, nodes, buffers);
    for (ArrowBuf buffer : buffers) {
      buffer.close(); // the batch has retained it
    }
    rowsBefore += rows;
    rows = 0;
    return batch;
  }

  @Override
  public void close() {
    for (ColumnEncoder column : columns) {
      column.close();
    }
  }
}
