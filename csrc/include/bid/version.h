/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The version of this interface, and how its functions are marked.
 *
 * From version 1 on only a new major version changes the interface, and the library's name has that number:
 * libbid.so.1. Until then a new minor version may change it, and the name has both: libbid.so.0.1. Structs that a
 * caller passes with their size may grow in any version: see struct bid_options.
 */
#ifndef BID_PUBLIC_VERSION_H
#define BID_PUBLIC_VERSION_H

#define BID_VERSION_MAJOR 0
#define BID_VERSION_MINOR 1
#define BID_VERSION_PATCH 0

/* One number that can be compared: version 1.2.3 is 10203. */
#define BID_VERSION (BID_VERSION_MAJOR * 10000 + BID_VERSION_MINOR * 100 + BID_VERSION_PATCH)

/* Stands before every function of the interface. A build of the shared library defines it as the attribute that exports
 * the function, and compiles with -fvisibility=hidden. A program that compiles the sources itself exports nothing. */
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
