/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The version of this interface, and how its functions are marked.
 *
 * The library's file name has the major version (libbid.so.0). While that is 0, a new minor version may change the
 * interface; from 1 on only a new major version does. Structs that a caller passes with their size may grow in any
 * version: see struct bid_options.
 */
#ifndef BID_PUBLIC_VERSION_H
#define BID_PUBLIC_VERSION_H

#define BID_VERSION_MAJOR 0
#define BID_VERSION_MINOR 1
#define BID_VERSION_PATCH 0

/* One number that can be compared: version 1.2.3 is 10203. */
#define BID_VERSION (BID_VERSION_MAJOR * 10000 + BID_VERSION_MINOR * 100 + BID_VERSION_PATCH)

/* Stands before every function of the interface. A build of the shared library defines it as the attribute that exports
 * the function, and compiles with -fvisibility=hidden. Who compiles the sources into a program of his own exports
 * none. */
#ifndef BID_PUBLIC
#define BID_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The BID_VERSION of the library that is linked. It may be newer than that of the header.
 * Context: any. Progress: wait-free. Memory: none. Returns: BID_VERSION of the library. */
BID_PUBLIC unsigned bid_version(void);

#ifdef __cplusplus
}
#endif
#endif
