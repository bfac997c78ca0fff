// All of LibTorch, compiled once: 15 to 22 seconds and 1.3 GB without this.
// Not to be included by hand.
#include <torch/script.h>
#include <torch/torch.h>
