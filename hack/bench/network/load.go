package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A client sends one letter, the first of what it wants: a byte, so many bytes down, to
// send as many up and hear of it, or that the server quits.

// moved is what one connection moves, in bytes.
const moved = 256 << 20

// serve is the program in the container.
func serve() error {
	l, err := net.Listen("tcp", ":8000")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			letter := make([]byte, 1)
			if _, err := io.ReadFull(c, letter); err != nil {
				return
			}
			switch letter[0] {
			case 'd':
				_ = send(c)
			case 'u':
				if _, err := io.CopyN(io.Discard, c, moved); err != nil {
					return
				}
			}
			_, _ = c.Write(letter)
			if letter[0] == 'q' {
				c.Close()
				time.Sleep(50 * time.Millisecond) // for the answer
				os.Exit(0)
			}
		}()
	}
}

func send(c net.Conn) error {
	data := make([]byte, 1<<20)
	for range moved / len(data) {
		if _, err := c.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// ask does one exchange, and returns how many bytes came.
func ask(what string, within time.Duration) (int64, error) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+hostPort, within)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte{what[0]}); err != nil {
		return 0, err
	}
	if what == "up" {
		if err := send(c); err != nil {
			return 0, err
		}
	}
	got, err := io.Copy(io.Discard, c)
	if err == nil && got == 0 {
		err = errors.New("no answer")
	}
	return got, err
}

// throughput is in MB/s; 0 when not all bytes came in time.
func throughput(what string) float64 {
	begun := time.Now()
	want := int64(1)
	if what == "down" {
		want += moved
	}
	if got, err := ask(what, limit); err != nil || got != want {
		return 0
	}
	return moved / 1e6 / time.Since(begun).Seconds()
}

// crowd is 500 clients at once: the time until the last has its answer or has given
// up, in ms, and how many have one.
func crowd() (milliseconds, answered float64) {
	const clients = 500
	var count atomic.Int64
	done := make(chan struct{})
	begun := time.Now()
	for range clients {
		go func() {
			if _, err := ask("byte", 10*time.Second); err == nil {
				count.Add(1)
			}
			done <- struct{}{}
		}()
	}
	for range clients {
		<-done
	}
	return float64(time.Since(begun).Microseconds()) / 1000, float64(count.Load())
}
