package tfd.spark;

import java.lang.reflect.Constructor;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.expressions.ApplyFunctionExpression;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo;
import org.apache.spark.sql.types.DataType;
import scala.Function1;
import scala.Tuple3;
import scala.collection.Seq;
import scala.runtime.BoxedUnit;

/**
 * Gives a session the function tfd_predict: {@code --conf
 * spark.sql.extensions=tfd.spark.TfdExtensions}. Stateless.
 */
public final class TfdExtensions implements Function1<SparkSessionExtensions, BoxedUnit> {
  @Override
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    ExpressionInfo info =
        new ExpressionInfo(PredictFunction.class.getName(), null, PredictFunction.NAME);
    Function1<Seq<Expression>, Expression> builder = TfdExtensions::build;
    extensions.injectFunction(
        new Tuple3<>(new FunctionIdentifier(PredictFunction.NAME), info, builder));
    return BoxedUnit.UNIT;
  }

  // Called once the types of the arguments are known.
  private static Expression build(Seq<Expression> arguments) {
    List<DataType> types = new ArrayList<>();
    for (int i = 0; i < arguments.length(); i++) {
      types.add(arguments.apply(i).dataType());
    }
    if (types.size() < 2 || !arguments.apply(0).foldable()) {
      throw new TfdException(
          PredictFunction.NAME
              + " takes a job's id, as a text and not as a column, and one or more columns:"
              + " tfd_predict('serve', image)");
    }
    String job = String.valueOf(arguments.apply(0).eval(null));
    return applied(PredictFunction.of(SparkSession.active(), job, types), arguments);
  }

  // Scala 2.12 and 2.13 mean another Seq by the same name, so the constructor is looked up.
  private static Expression applied(PredictFunction function, Seq<Expression> arguments) {
    Constructor<?> constructor = ApplyFunctionExpression.class.getConstructors()[0];
    try {
      return (Expression) constructor.newInstance(function, arguments);
    } catch (ReflectiveOperationException e) {
      throw new TfdException(
          PredictFunction.NAME + " does not work with this version of Spark: " + e, e);
    }
  }
}
