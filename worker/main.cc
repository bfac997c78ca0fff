// tfd-worker: see command_line.h.
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "common/interrupt.h"
#include "common/tuning.h"
#include "worker/command_line.h"

int main(int argc, char** argv) {
  tfd::TuneForThroughput();
  tfd::Interrupt interrupt;
  const int code = tfd::worker::Run(argc, argv, &interrupt);
  // Without the destructors of LibTorch's hundreds of libraries, which take
  // 0.15 s and have nothing to save.
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  _exit(code);
}
