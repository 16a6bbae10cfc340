#include "status_record.h"

namespace jax_deepgemm {
namespace {

std::string PhaseName(uint32_t phase) {
  constexpr const char* kNames[] = {"", "counts", "rows", "results"};
  return phase >= 1 && phase <= 3 ? kNames[phase] : "phase " + std::to_string(phase);
}

}  // namespace

uint32_t ReadCode(const StatusRecord& record) {
  return __atomic_load_n(&record.code, __ATOMIC_ACQUIRE);
}

std::string FaultText(const StatusRecord& record) {
  const std::string call =
      "mega_moe: rank " + std::to_string(record.rank) + ", call " + std::to_string(record.epoch);
  switch (record.code) {
    case kTimeOut:
      return call + ", timed out waiting for '" + PhaseName(record.phase) + "' of rank " +
             std::to_string(record.awaited_rank) + " (saw call " + std::to_string(record.seen) +
             ")";
    case kPeerAborted:
      return call + ", stopped in '" + PhaseName(record.phase) + "' because rank " +
             std::to_string(record.awaited_rank) + " gave up";
    case kShapesDiffer:
      return call + ", has another shape than that of rank " + std::to_string(record.awaited_rank) +
             " (hash " + std::to_string(record.seen) + ", expected " +
             std::to_string(record.expected) + ")";
    default:
      return call + ", reported fault " + std::to_string(record.code);
  }
}

}  // namespace jax_deepgemm
