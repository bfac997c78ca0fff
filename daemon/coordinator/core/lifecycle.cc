#include "daemon/coordinator/core/lifecycle.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tfd::coordinator {
namespace {

using J = JobState;
using T = TaskState;

constexpr std::pair<J, J> kJobTransitions[] = {
    {J::kSubmitted, J::kQueued},     {J::kSubmitted, J::kFailed},
    {J::kSubmitted, J::kCancelled},  {J::kQueued, J::kStarting},
    {J::kQueued, J::kFailed},        {J::kQueued, J::kCancelled},
    {J::kStarting, J::kRunning},     {J::kStarting, J::kFailed},
    {J::kStarting, J::kCancelled},   {J::kStarting, J::kRestarting},
    {J::kRunning, J::kRestarting},   {J::kRunning, J::kSucceeded},
    {J::kRunning, J::kFailed},       {J::kRunning, J::kCancelled},
    {J::kRestarting, J::kStarting},  {J::kRestarting, J::kFailed},
    {J::kRestarting, J::kCancelled},
};

constexpr std::pair<T, T> kTaskTransitions[] = {
    {T::kPending, T::kAssigned},   {T::kPending, T::kCancelled},
    {T::kAssigned, T::kStarting},  {T::kAssigned, T::kRunning},
    {T::kAssigned, T::kSucceeded}, {T::kAssigned, T::kFailed},
    {T::kAssigned, T::kLost},      {T::kAssigned, T::kCancelled},
    {T::kStarting, T::kRunning},   {T::kStarting, T::kSucceeded},
    {T::kStarting, T::kFailed},    {T::kStarting, T::kLost},
    {T::kStarting, T::kCancelled}, {T::kRunning, T::kSucceeded},
    {T::kRunning, T::kFailed},     {T::kRunning, T::kLost},
    {T::kRunning, T::kCancelled},
};

}  // namespace

bool IsLegal(JobState from, JobState to) {
  return std::find(std::begin(kJobTransitions), std::end(kJobTransitions),
                   std::make_pair(from, to)) != std::end(kJobTransitions);
}

bool IsLegal(TaskState from, TaskState to) {
  return std::find(std::begin(kTaskTransitions), std::end(kTaskTransitions),
                   std::make_pair(from, to)) != std::end(kTaskTransitions);
}

bool IsEnd(JobState state) {
  return state == J::kSucceeded || state == J::kFailed ||
         state == J::kCancelled;
}

bool IsEnd(TaskState state) {
  return state == T::kSucceeded || state == T::kFailed || state == T::kLost ||
         state == T::kCancelled;
}

const char* JobStateName(JobState state) {
  switch (state) {
    case J::kSubmitted:
      return "SUBMITTED";
    case J::kQueued:
      return "QUEUED";
    case J::kStarting:
      return "STARTING";
    case J::kRunning:
      return "RUNNING";
    case J::kRestarting:
      return "RESTARTING";
    case J::kSucceeded:
      return "SUCCEEDED";
    case J::kFailed:
      return "FAILED";
    case J::kCancelled:
      return "CANCELLED";
  }
  return "";
}

const char* TaskStateName(TaskState state) {
  switch (state) {
    case T::kPending:
      return "PENDING";
    case T::kAssigned:
      return "ASSIGNED";
    case T::kStarting:
      return "STARTING";
    case T::kRunning:
      return "RUNNING";
    case T::kSucceeded:
      return "SUCCEEDED";
    case T::kFailed:
      return "FAILED";
    case T::kLost:
      return "LOST";
    case T::kCancelled:
      return "CANCELLED";
  }
  return "";
}

}  // namespace tfd::coordinator
