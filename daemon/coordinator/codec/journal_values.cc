#include "daemon/coordinator/codec/journal_values.h"

#include "daemon/coordinator/codec/value_codec.h"

namespace tfd::coordinator::internal {
namespace {

void PutFacts(const JobFacts& from, journal::Facts* to) {
  to->set_name(from.name);
  // In the same order.
  to->set_purpose(static_cast<journal::Facts::Purpose>(from.purpose));
  for (const RoleNeed& need : from.roles) {
    journal::RoleNeed* role = to->add_roles();
    role->set_role(RoleName(need.role));
    role->set_count(need.count);
    Put(need.each, role->mutable_each());
  }
  for (const PushedDataset& dataset : from.pushed) {
    journal::PushedDataset* pushed = to->add_pushed();
    pushed->set_name(dataset.name);
    pushed->set_producers(dataset.producers);
    pushed->set_growth(
        static_cast<journal::PushedDataset::Growth>(dataset.growth));
    pushed->set_step_rows(dataset.step_rows);
    pushed->set_read_once(dataset.read_once);
  }
  to->set_has_validation(from.has_validation);
  if (from.target.has_value()) {
    journal::Target* target = to->mutable_target();
    target->set_metric(from.target->metric);
    if (from.target->at_least) target->set_at_least(*from.target->at_least);
    if (from.target->at_most) target->set_at_most(*from.target->at_most);
  }
  to->set_keep(from.keep);
  to->set_storage(from.storage);
  to->set_one_node(from.one_node);
  to->set_max_failures(from.max_failures);
  to->set_replaceable_workers(from.replaceable_workers);
}

JobFacts GetFacts(const journal::Facts& from) {
  JobFacts to;
  to.name = from.name();
  to.purpose = static_cast<Purpose>(from.purpose());
  for (const journal::RoleNeed& need : from.roles()) {
    to.roles.push_back({ParseRole(need.role()).value_or(Role::kWorker),
                        need.count(), Get(need.each())});
  }
  for (const journal::PushedDataset& pushed : from.pushed()) {
    to.pushed.push_back({pushed.name(), pushed.producers(),
                         static_cast<Growth>(pushed.growth()),
                         pushed.step_rows(), pushed.read_once()});
  }
  to.has_validation = from.has_validation();
  if (from.has_target()) {
    Target target;
    target.metric = from.target().metric();
    if (from.target().has_at_least())
      target.at_least = from.target().at_least();
    if (from.target().has_at_most()) target.at_most = from.target().at_most();
    to.target = target;
  }
  to.keep = from.keep();
  to.storage = from.storage();
  to.one_node = from.one_node();
  to.max_failures = from.max_failures();
  to.replaceable_workers = from.replaceable_workers();
  return to;
}

}  // namespace

void Put(const Resources& from, journal::Need* to) {
  to->set_millicpus(from.millicpus);
  to->set_memory_bytes(from.memory_bytes);
}

Resources Get(const journal::Need& from) {
  return {from.millicpus(), from.memory_bytes()};
}

void Put(const JobSubmitted& from, journal::JobSubmitted* to) {
  to->set_job(from.job);
  to->set_owner(from.owner);
  to->set_spec(from.spec);
  PutFacts(from.facts, to->mutable_facts());
  to->set_token(from.token);
  to->set_feed_token(from.feed_token);
}

JobSubmitted Get(const journal::JobSubmitted& from) {
  return {from.job(),   from.owner(),     from.spec(), GetFacts(from.facts()),
          from.token(), from.feed_token()};
}

void Put(const Placement& from, journal::Placement* to) {
  to->set_role(RoleName(from.role));
  to->set_number(from.number);
  to->set_node(from.node);
  Put(from.resources, to->mutable_resources());
}

Placement Get(const journal::Placement& from) {
  return {ParseRole(from.role()).value_or(Role::kWorker), from.number(),
          from.node(), Get(from.resources())};
}

void Put(const Progress& from, journal::Progress* to) {
  to->set_step(from.step);
  to->set_epoch(from.epoch);
  PutValues(from.metrics, to->mutable_metrics());
}

Progress Get(const journal::Progress& from) {
  return {from.step(), from.epoch(), GetValues(from.metrics())};
}

void Put(const NodeRegistered& from, journal::NodeRegistered* to) {
  to->set_node(from.node);
  to->set_incarnation(from.incarnation);
  Put(from.offered, to->mutable_offered());
  *to->mutable_endpoint() = Encode(from.endpoint);
  to->set_log_token(from.log_token);
  to->set_version(from.version);
}

NodeRegistered Get(const journal::NodeRegistered& from) {
  return {from.node(),         from.incarnation(),
          Get(from.offered()), Decode(from.endpoint()),
          from.log_token(),    from.version()};
}

}  // namespace tfd::coordinator::internal
