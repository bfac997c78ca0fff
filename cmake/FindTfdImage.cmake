# Finds what images are read with and defines tfd::image: libjpeg-turbo's
# TurboJPEG, libpng, OpenCV's core and imgproc, and libcurl for URLs. (Debian's
# package of those two parts of OpenCV has no OpenCVConfig.cmake.)

find_package(PNG QUIET)
find_package(CURL 7.85 QUIET)
find_path(TfdImage_turbojpeg_INCLUDE turbojpeg.h)
find_library(TfdImage_turbojpeg_LIBRARY turbojpeg)
find_path(TfdImage_opencv_INCLUDE opencv2/imgproc.hpp PATH_SUFFIXES opencv4)
find_library(TfdImage_opencv_core_LIBRARY opencv_core)
find_library(TfdImage_opencv_imgproc_LIBRARY opencv_imgproc)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TfdImage
  REQUIRED_VARS
    TfdImage_turbojpeg_LIBRARY TfdImage_turbojpeg_INCLUDE
    TfdImage_opencv_imgproc_LIBRARY TfdImage_opencv_core_LIBRARY
    TfdImage_opencv_INCLUDE PNG_FOUND CURL_FOUND
  REASON_FAILURE_MESSAGE
  "TurboJPEG, libpng, OpenCV's imgproc or libcurl is missing: run scripts/setup")

if(NOT TfdImage_FOUND OR TARGET tfd::image)
  return()
endif()

add_library(tfd::image INTERFACE IMPORTED)
target_include_directories(tfd::image SYSTEM INTERFACE
  "${TfdImage_turbojpeg_INCLUDE}" "${TfdImage_opencv_INCLUDE}")
target_link_libraries(tfd::image INTERFACE
  "${TfdImage_turbojpeg_LIBRARY}" "${TfdImage_opencv_imgproc_LIBRARY}"
  "${TfdImage_opencv_core_LIBRARY}" PNG::PNG CURL::libcurl)
