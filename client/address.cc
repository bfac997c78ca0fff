#include "client/address.h"

#include <yaml-cpp/yaml.h>

#include "absl/strings/str_cat.h"
#include "client/background_cluster.h"
#include "common/fs/file_system.h"
#include "common/net/endpoint.h"
#include "common/status.h"

namespace tfd::client {
namespace {

std::string ConfigPath(const Context& context) {
  std::string base = context.Variable("XDG_CONFIG_HOME");
  if (base.empty()) base = JoinPath(context.Variable("HOME"), ".config");
  return JoinPath(base, "tfd/config.yaml");
}

// The address in the config file; empty where there is no such file or key.
absl::StatusOr<std::string> FromConfigFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(*LocalFileSystem(), path);
  if (absl::IsNotFound(text.status())) return "";
  if (!text.ok()) return text.status();
  try {
    YAML::Node config = YAML::Load(*text);
    if (!config.IsMap() || !config["coordinator"]) return "";
    return config["coordinator"].as<std::string>();
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ", error.what(), "; it should read `coordinator: HOST:PORT`"));
  }
}

}  // namespace

absl::StatusOr<std::string> CoordinatorAddress(const Context& context,
                                               const std::string& flag) {
  auto parse = [](const std::string& text,
                  const std::string& source) -> absl::StatusOr<std::string> {
    absl::StatusOr<std::string> address = net::ParseAddress(text);
    if (!address.ok()) return Annotate(address.status(), source);
    return address;
  };
  if (!flag.empty()) return parse(flag, "--coordinator");
  std::string variable = context.Variable("TFD_COORDINATOR");
  if (!variable.empty()) return parse(variable, "TFD_COORDINATOR");
  std::string config_path = ConfigPath(context);
  TFD_ASSIGN_OR_RETURN(std::string configured, FromConfigFile(config_path));
  if (!configured.empty()) return parse(configured, config_path);
  absl::StatusOr<BackgroundCluster> cluster = ReadBackgroundCluster(context);
  if (cluster.ok()) return cluster->address;
  return absl::UnavailableError(absl::StrCat(
      "no coordinator is known: start one on this machine with `tfd up`, or "
      "name one with --coordinator HOST:PORT, TFD_COORDINATOR, or "
      "`coordinator: HOST:PORT` in ",
      config_path, " (to train on this machine alone: `tfd run SPEC`)"));
}

}  // namespace tfd::client
