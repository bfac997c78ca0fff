#include "common/spec/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <cmath>
#include <limits>

#include "common/spec/field.h"
#include "common/spec/scalar.h"
#include "tests/common/spec/spec_testing.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::spec {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void CollectFields(const Descriptor* type,
                   std::vector<const FieldDescriptor*>* fields) {
  for (int i = 0; i < type->field_count(); ++i) {
    fields->push_back(type->field(i));
    if (type->field(i)->message_type() != nullptr) {
      CollectFields(type->field(i)->message_type(), fields);
    }
  }
}

std::vector<const FieldDescriptor*> AllFields() {
  std::vector<const FieldDescriptor*> fields;
  CollectFields(v1::JobSpec::descriptor(), &fields);
  return fields;
}

TEST(RulesTest, EveryDefaultCanBeReadAndIsWithinItsBounds) {
  for (const FieldDescriptor* field : AllFields()) {
    const v1::FieldRules& rules = Rules(field);
    if (rules.default_value().empty()) continue;
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(field->containing_type())
            ->New());
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.scalar = rules.default_value();
    EXPECT_TRUE(AssignScalar(node, {}, field, {}, message.get()).ok())
        << field->full_name();
    const Positions nowhere;
    Reporter reporter(nowhere, {});
    CheckRules(*message, "", &reporter);
    for (const Problem& problem : reporter.Take()) {
      EXPECT_NE(problem.field, field->name()) << problem.message;
    }
  }
}

TEST(RulesTest, EveryPatternCompilesAndEveryOnlyForNamesWhatThereIs) {
  for (const FieldDescriptor* field : AllFields()) {
    EXPECT_TRUE(RE2(Rules(field).pattern()).ok()) << field->full_name();
    if (Rules(field).only_for().empty()) continue;
    const OnlyFor only_for = ParseOnlyFor(field);
    ASSERT_NE(only_for.field, nullptr) << field->full_name();
    ASSERT_NE(only_for.field->enum_type(), nullptr) << field->full_name();
    // Defaults are filled in the order of the fields.
    EXPECT_LT(only_for.field->index(), field->index()) << field->full_name();
    for (const std::string& value : only_for.values) {
      EXPECT_THAT(ValueNames(only_for.field->enum_type()), HasSubstr(value))
          << field->full_name();
    }
  }
}

TEST(RulesTest, EveryShorthandNamesAField) {
  for (const FieldDescriptor* field : AllFields()) {
    const Descriptor* type = field->message_type();
    if (type == nullptr) continue;
    const std::string& name =
        type->options().GetExtension(v1::message_rules).scalar_field();
    EXPECT_EQ(ScalarField(type) != nullptr, !name.empty()) << type->full_name();
  }
}

TEST(RulesTest, BoundsAreInclusiveUnlessTheySayOtherwise) {
  const auto problems = [](const std::string& text) {
    v1::JobSpec spec;
    EXPECT_THAT(Fill(kGoodSpec + text, &spec), IsEmpty());
    ApplyDefaults(&spec);
    return Show(ValidateJobSpec(spec, {}));
  };
  EXPECT_THAT(problems("checkpoint: {keep: 10000}"), IsEmpty());
  EXPECT_THAT(problems("checkpoint: {keep: 10001}"),
              Contains(HasSubstr("10001 is out of bounds: it must be at least "
                                 "1 and at most 10000")));
  EXPECT_THAT(problems("optimizer: {lr: 1000}"), IsEmpty());
  EXPECT_THAT(problems("optimizer: {lr: 0}"),
              Contains(HasSubstr("0 is out of bounds: it must be more than "
                                 "0")));
  EXPECT_THAT(problems("tasks: {worker: {memory: 512}}"),
              Contains(HasSubstr("512 is out of bounds: it must be at least "
                                 "1MiB (a plain number is bytes; write a unit, "
                                 "as in 512MiB)")));
}

TEST(RulesTest, NumbersThatAreNoneAreRefused) {
  v1::JobSpec spec;
  ASSERT_THAT(Fill(kGoodSpec, &spec), IsEmpty());
  ApplyDefaults(&spec);
  spec.mutable_optimizer()->set_lr(std::nan(""));
  spec.mutable_data()->add_preprocess()->set_scale(
      std::numeric_limits<double>::infinity());
  EXPECT_THAT(Show(ValidateJobSpec(spec, {})),
              ::testing::UnorderedElementsAre(
                  HasSubstr("optimizer.lr: nan is not a finite number"),
                  HasSubstr("data.preprocess[0].scale: inf is not a finite")));
}

TEST(RulesTest, AnEnumValueOfALaterVersionIsRefused) {
  v1::JobSpec spec;
  ASSERT_THAT(Fill(kGoodSpec, &spec), IsEmpty());
  ApplyDefaults(&spec);
  spec.mutable_optimizer()->mutable_schedule()->set_name(
      static_cast<v1::ScheduleSpec::Name>(77));
  EXPECT_THAT(Show(ValidateJobSpec(spec, {})),
              Contains(HasSubstr("optimizer.schedule.name: the value 77 is not "
                                 "known here; known are constant")));
}

TEST(RulesTest, AnEmptySpecIsRefusedFieldByField) {
  v1::JobSpec spec;
  ApplyDefaults(&spec);
  EXPECT_THAT(Show(ValidateJobSpec(spec, {})),
              ::testing::ElementsAre(HasSubstr("name: is required"),
                                     HasSubstr("model: is required"),
                                     HasSubstr("data: is required"),
                                     HasSubstr("stop: is required"),
                                     HasSubstr("storage: is required")));
}

TEST(RulesTest, AProblemIsAtTheNearestPlaceThatWasWritten) {
  v1::JobSpec spec;
  const Positions positions = {{"data.train", {7, 3}}};
  spec.mutable_data()->mutable_train();
  ApplyDefaults(&spec);
  EXPECT_THAT(Show(ValidateJobSpec(spec, positions)),
              Contains(HasSubstr("7:3 data.train.format: is required: one of "
                                 "idx, csv, pushed")));
}

}  // namespace
}  // namespace tfd::spec
