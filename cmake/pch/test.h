// What most tests include, compiled once. Not to be included by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/pch/grpc.h"
