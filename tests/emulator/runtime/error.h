// What a kernel does wrong ends the launch with one of these.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace jdg::emu {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

__attribute__((format(printf, 1, 2))) inline std::string format(const char* text, ...) {
  char line[512];
  va_list values;
  va_start(values, text);
  std::vsnprintf(line, sizeof(line), text, values);
  va_end(values);
  return line;
}

}  // namespace jdg::emu
