#include "runtime/division.h"

#include <ucontext.h>

#include <cstdint>

namespace jdg::emu {

#if defined(__x86_64__)
namespace {

// Bytes of a DIV or IDIV (F7 /6, F7 /7) at `code`, or 0.
int division_length(const uint8_t* code) {
  const int prefix = (code[0] & 0xF0) == 0x40 ? 1 : 0;
  if (code[prefix] != 0xF7) return 0;
  const uint8_t modrm = code[prefix + 1];
  if ((modrm >> 3 & 7) < 6) return 0;
  const int mod = modrm >> 6;
  const int rm = modrm & 7;
  int length = prefix + 2;
  if (mod == 3) return length;
  const bool has_sib = rm == 4;
  const bool has_base = !(mod == 0 && (has_sib ? code[length] & 7 : rm) == 5);
  length += has_sib ? 1 : 0;
  if (mod == 1) return length + 1;
  return mod == 2 || !has_base ? length + 4 : length;
}

}  // namespace

bool skip_division(void* signal_context) {
  auto* registers = static_cast<ucontext_t*>(signal_context)->uc_mcontext.gregs;
  const int length = division_length(reinterpret_cast<const uint8_t*>(registers[REG_RIP]));
  if (length == 0) return false;
  registers[REG_RDX] = registers[REG_RAX];
  registers[REG_RAX] = 0xFFFFFFFF;
  registers[REG_RIP] += length;
  return true;
}
#else
bool skip_division(void*) { return false; }
#endif

}  // namespace jdg::emu
