#include "tests/agent/agent_testing.h"

#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/child_process.h"
#include "common/poll.h"
#include "daemon/agent/process.h"

namespace tfd::agent {
namespace {

constexpr absl::Duration kTestingHang = absl::Seconds(30);
constexpr absl::Duration kLook = absl::Milliseconds(2);

}  // namespace

std::string AgentProgram() { return *ProgramFolder() + "/../bin/tfd-agent"; }

bool Eventually(absl::FunctionRef<bool()> condition) {
  const absl::Time deadline = SteadyNow() + kTestingHang;
  while (!condition()) {
    if (SteadyNow() > deadline) return false;
    absl::SleepFor(kLook);
  }
  return true;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void Write(const std::string& path, absl::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
}

int PidIn(const std::string& path) {
  const std::string text = Slurp(path);
  int pid = 0;
  // Without its line end it is not all there yet.
  if (text.empty() || text.back() != '\n') return 0;
  return absl::SimpleAtoi(text, &pid) ? pid : 0;
}

bool IsAlive(int pid) {
  const auto id = ProcessId::Of(pid);
  return id && id->Alive();
}

TaskKey Key(absl::string_view job, absl::string_view task,
            uint64_t generation) {
  return *ParseTaskKey(job, task, generation);
}

v1::TaskLaunch LaunchOf(absl::string_view job, absl::string_view task,
                        uint64_t generation, v1::TaskLaunch::Program program) {
  v1::TaskLaunch launch;
  launch.set_job(std::string(job));
  launch.set_task(std::string(task));
  launch.set_generation(generation);
  launch.set_program(program);
  launch.set_spec("a spec");
  launch.set_token("a token");
  launch.mutable_resources()->set_cpus(1);
  return launch;
}

}  // namespace tfd::agent
