// The parts that journaled events and snapshots share. For event_codec.cc and
// state_codec.cc alone.
#ifndef TFD_DAEMON_COORDINATOR_CODEC_JOURNAL_VALUES_H_
#define TFD_DAEMON_COORDINATOR_CODEC_JOURNAL_VALUES_H_

#include <map>
#include <string>

#include "daemon/coordinator/core/event.h"
#include "daemon/coordinator/journal/journal.pb.h"

namespace tfd::coordinator::internal {

void Put(const Resources& from, journal::Need* to);
Resources Get(const journal::Need& from);

void Put(const JobSubmitted& from, journal::JobSubmitted* to);
JobSubmitted Get(const journal::JobSubmitted& from);

void Put(const Placement& from, journal::Placement* to);
Placement Get(const journal::Placement& from);

void Put(const Progress& from, journal::Progress* to);
Progress Get(const journal::Progress& from);

void Put(const NodeRegistered& from, journal::NodeRegistered* to);
NodeRegistered Get(const journal::NodeRegistered& from);

template <typename Map>
void PutValues(const std::map<std::string, double>& from, Map* to) {
  for (const auto& [name, value] : from) (*to)[name] = value;
}
template <typename Map>
std::map<std::string, double> GetValues(const Map& from) {
  return {from.begin(), from.end()};
}

}  // namespace tfd::coordinator::internal

#endif  // TFD_DAEMON_COORDINATOR_CODEC_JOURNAL_VALUES_H_
