// What the fields of a job spec mean for each other.
#ifndef TFD_COMMON_SPEC_RELATIONS_H_
#define TFD_COMMON_SPEC_RELATIONS_H_

#include <set>
#include <string>
#include <vector>

#include "common/spec/rules.h"
#include "common/spec/yaml_message.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::spec {

// All that ValidateJobSpec says, but for what only follows from `broken`
// fields, of which something was said already.
std::vector<Problem> Validate(const v1::JobSpec& spec,
                              const Positions& positions,
                              std::set<std::string> broken);

// The part of it that one field alone does not tell.
void CheckRelations(const v1::JobSpec& spec, Reporter* reporter);
// The part of that which is about `data`.
void CheckDataRelations(const v1::JobSpec& spec, Reporter* reporter);

// What an image spec says, wherever it stands: at `path`.
void CheckImage(const v1::ImageSpec& image, const std::string& path,
                Reporter* reporter);
// What a dataset says of images and bad rows.
void CheckImages(const v1::DatasetSpec& dataset, const std::string& path,
                 Reporter* reporter);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_RELATIONS_H_
