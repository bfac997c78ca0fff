// What is generated from the job spec's descriptor.
#ifndef TFD_SCRIPTS_DOCS_SPEC_DOCS_H_
#define TFD_SCRIPTS_DOCS_SPEC_DOCS_H_

#include <string>

#include "scripts/docs/spec_source.h"

namespace tfd::docs {

// docs/spec.md; `example` is the YAML that it begins with.
std::string SpecMarkdown(const SpecSource& source, const std::string& example);

// docs/job_spec.schema.json, JSON Schema draft 2020-12. It is a little
// stricter than tfd, which also takes numbers in quotes.
std::string SpecJsonSchema(const SpecSource& source);

}  // namespace tfd::docs

#endif  // TFD_SCRIPTS_DOCS_SPEC_DOCS_H_
