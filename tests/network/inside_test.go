package network

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// inside is the program in the container:
//
//	serve PORT         answers HTTP and UDP with the address of who asks
//	get URL            prints what a server answers
//	look               prints what the process has got from who started it
func inside(args []string) int {
	var err error
	switch args[0] {
	case "serve":
		err = serve(args[1])
	case "get":
		err = get(args[1])
	case "look":
		err = look()
	default:
		err = fmt.Errorf("unknown part %q", args)
	}
	if err != nil {
		fmt.Println("inside:", err)
		return 1
	}
	return 0
}

// serve reports whether it listens by a line, and ends with the container.
func serve(port string) error {
	packets, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 2048)
		for {
			_, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			packets.WriteTo([]byte("from "+host(from.String())), from)
		}
	}()
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "from "+host(r.RemoteAddr))
	}))
}

func host(address string) string {
	h, _, _ := net.SplitHostPort(address)
	return h
}

func get(url string) error {
	text, err := fetch(url)
	fmt.Println(text)
	return err
}

func fetch(url string) (string, error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	return string(text), err
}

// look lists descriptors, processes and the environment.
func look() error {
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, l := range links {
		to, err := os.Readlink("/proc/self/fd/" + l.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue // gone, or of Go's own making
		}
		fmt.Println("descriptor", l.Name(), to)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			fmt.Println("process", e.Name())
		}
	}
	for _, e := range os.Environ() {
		fmt.Println("environment", e)
	}
	return nil
}
