package main

// growStack has the main goroutine's stack grow to what a verb takes, at once
// and while nothing is on it. In steps, each would walk and copy what is.
func growStack()
