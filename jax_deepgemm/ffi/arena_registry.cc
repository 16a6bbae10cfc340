#include "arena_registry.h"

#include <stdexcept>

namespace jax_deepgemm {

ArenaRegistry& ArenaRegistry::Global() {
  static auto* registry = new ArenaRegistry;
  return *registry;
}

void ArenaRegistry::Add(int64_t handle, int ordinal, void* address) {
  std::lock_guard<std::mutex> lock(mutex_);
  addresses_[{handle, ordinal}] = address;
}

void ArenaRegistry::SetBoard(int64_t handle, const StatusRecord* records, size_t num_records) {
  std::lock_guard<std::mutex> lock(mutex_);
  boards_[handle] = {records, num_records};
}

void ArenaRegistry::Remove(int64_t handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  boards_.erase(handle);
  const auto first = addresses_.lower_bound({handle, 0});
  addresses_.erase(first, addresses_.lower_bound({handle + 1, 0}));
}

void* ArenaRegistry::Find(int64_t handle, int ordinal) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = addresses_.find({handle, ordinal});
  if (found == addresses_.end()) {
    throw std::runtime_error("symmetric buffer " + std::to_string(handle) + " on device " +
                             std::to_string(ordinal) +
                             ": the symmetric buffer was destroyed, or does not cover this device");
  }
  return found->second;
}

std::string ArenaRegistry::Fault(int64_t handle) {
  std::lock_guard<std::mutex> lock(mutex_);
  return boards_.count(handle) == 0 ? "" : ReadBoard(handle);
}

void ArenaRegistry::CheckBoard(int64_t handle, std::optional<int64_t> run_id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (boards_.count(handle) == 0) return;
  const Verdict* known = run_id ? FindVerdict(*run_id, handle) : nullptr;
  const std::string fault = known != nullptr ? known->fault : ReadBoard(handle);
  if (run_id && known == nullptr) {
    verdicts_[next_verdict_++ % verdicts_.size()] = {*run_id, handle, fault,
                                                     std::chrono::steady_clock::now()};
  }
  if (!fault.empty()) throw AbortedError(fault);
}

const ArenaRegistry::Verdict* ArenaRegistry::FindVerdict(int64_t run_id, int64_t handle) const {
  // XLA ends a process whose devices begin a run 30 s apart. A verdict that is
  // older is of another run of that number.
  const auto oldest = std::chrono::steady_clock::now() - std::chrono::seconds(40);
  for (const Verdict& verdict : verdicts_) {
    if (verdict.run_id == run_id && verdict.handle == handle && verdict.time > oldest) {
      return &verdict;
    }
  }
  return nullptr;
}

// What stopped first says more than what stopped because of it.
std::string ArenaRegistry::ReadBoard(int64_t handle) const {
  const Board& board = boards_.at(handle);
  std::string consequence;
  for (size_t i = 0; i < board.num_records; ++i) {
    const StatusRecord& record = board.records[i];
    const uint32_t code = ReadCode(record);
    if (code == kNoFault) continue;
    if (code != kPeerAborted) return FaultText(record);
    if (consequence.empty()) consequence = FaultText(record);
  }
  return consequence;
}

}  // namespace jax_deepgemm
