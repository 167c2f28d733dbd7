// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
// Go's run time takes all signals to itself, by system calls.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func sum(from int, results chan int) {
	n := 0
	for i := 0; i < 20000000; i++ {
		n += i % (from + 3)
	}
	results <- n
}

func main() {
	results := make(chan int)
	for i := 0; i < 3; i++ {
		go sum(i, results)
	}
	total := 0
	for i := 0; i < 3; i++ {
		total += <-results
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGTRAP)
	syscall.Kill(os.Getpid(), syscall.SIGTRAP)
	println(total, (<-caught).String())
	file, err := os.Create("of-go")
	if err != nil {
		os.Exit(1)
	}
	println(file.Fd())
	file.WriteString("written\n")
	os.Exit(14)
}
