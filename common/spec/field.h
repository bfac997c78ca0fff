// What the proto says about a field, and a field's value as a person reads it.
#ifndef TFD_COMMON_SPEC_FIELD_H_
#define TFD_COMMON_SPEC_FIELD_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <string>

#include "tfd/v1/options.pb.h"

namespace tfd::spec {

// Whether a message is given, or a scalar that has a default of its own, is a
// field's presence; a plain proto3 scalar is there when it is not 0 or empty.
bool IsSet(const google::protobuf::Message& message,
           const google::protobuf::FieldDescriptor* field);

const v1::FieldRules& Rules(const google::protobuf::FieldDescriptor* field);

// The field that a scalar in place of the message fills; null: none.
const google::protobuf::FieldDescriptor* ScalarField(
    const google::protobuf::Descriptor* message);

// An enum value as YAML has it: lower case. Empty for the one that stands for
// absent.
std::string ValueName(const google::protobuf::EnumValueDescriptor* value);

// "sgd, adam"; with those that are planned "bsp (later: ssp, async)".
std::string ValueNames(const google::protobuf::EnumDescriptor* type);

// A number of `field` with its unit: "512MiB", "0.01", "10s".
std::string FormatNumber(const google::protobuf::FieldDescriptor* field,
                         double number);
// The shortest text that reads back as the same number.
std::string FormatDouble(double number);

// "at least 1 and at most 16777216"; empty where the rules name no bounds.
std::string BoundsText(const google::protobuf::FieldDescriptor* field);

// A field's value as one would write it: quoted text, a list in brackets, an
// enum's lower-case name. `index` is that of one element, or -1.
std::string FormatValue(const google::protobuf::Message& message,
                        const google::protobuf::FieldDescriptor* field,
                        int index = -1);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_FIELD_H_
