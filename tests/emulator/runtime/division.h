// Integer division by zero as a GPU does it.
#pragma once

namespace jdg::emu {

// Steps over the division that raised SIGFPE: no GPU traps there, the quotient is all ones and the
// remainder the dividend. Returns false if this host's machine code is not understood.
bool skip_division(void* signal_context);

}  // namespace jdg::emu
