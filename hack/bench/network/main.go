// Network compares published ports: containers of homerun and of podman, with the same
// driver, turn about. Nothing leaves the host's loopback.
//
//	CGO_ENABLED=0 go run ./hack/bench/network [-n ROUNDS] [-drivers pasta,slirp4netns] [-runtimes bin/homerun,podman]
//
// Run it as the user whose containers are compared. The table is Markdown. This program
// is what is in the container, too, so it is linked statically.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	hostPort = "18099"
	limit    = 30 * time.Second
)

func main() {
	rounds := flag.Int("n", 5, "how often each container is started")
	drivers := flag.String("drivers", "pasta,slirp4netns", "the network drivers")
	runtimes := flag.String("runtimes", "bin/homerun,podman", "programs, each homerun or podman by its name")
	serves := flag.Bool("serve", false, "be the program in the container")
	flag.Parse()
	err := errors.New("rounds must be more than none")
	if *serves {
		err = serve()
	} else if *rounds > 0 {
		err = compare(*rounds, strings.Split(*drivers, ","), strings.Split(*runtimes, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "network:", err)
		os.Exit(1)
	}
}

// compare measures all, and prints the table.
func compare(rounds int, drivers, runtimes []string) error {
	root, err := makeRoot()
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(out, "| driver\t| runtime\t| first byte, ms\t| down, MB/s\t| up, MB/s\t| 500 at once, ms\t| of them answered\t|")
	fmt.Fprintln(out, "|---\t|---\t|--:\t|--:\t|--:\t|--:\t|--:\t|")
	for _, driver := range drivers {
		got := make([][]numbers, len(runtimes))
		for range rounds {
			for i, program := range runtimes {
				n, err := measure(program, driver, root)
				if err != nil {
					return fmt.Errorf("%s with %s: %w", program, driver, err)
				}
				got[i] = append(got[i], n)
			}
		}
		for i, program := range runtimes {
			fmt.Fprintf(out, "| %s\t| %s\t", driver, filepath.Base(program))
			for column := range got[i][0] {
				fmt.Fprintf(out, "| %.0f\t", median(got[i], column))
			}
			fmt.Fprintln(out, "|")
		}
	}
	return out.Flush()
}

// numbers are a row of the table. A throughput that stalls is 0.
type numbers [5]float64

func median(list []numbers, column int) float64 {
	var all []float64
	for _, n := range list {
		all = append(all, n[column])
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// makeRoot makes a root file system that has this program, and what networks are
// told by.
func makeRoot() (string, error) {
	root, err := os.MkdirTemp("", "bench-network-")
	if err != nil {
		return "", err
	}
	for _, dir := range []string{"proc", "sys", "dev", "etc", "tmp", "run"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	self, readErr := os.ReadFile("/proc/self/exe")
	return root, errors.Join(err, readErr, os.Chmod(root, 0o755), os.WriteFile(filepath.Join(root, "network"), self, 0o755))
}

// start starts the server in a container. It ends when it is told to.
func start(program, driver, root string) (*exec.Cmd, error) {
	published := "127.0.0.1:" + hostPort + ":8000"
	arguments := []string{"--cgroup-manager", "disabled", "run", "--rootfs", root, "--net", driver, "-p", published, "--", "/network", "-serve"}
	if strings.HasPrefix(filepath.Base(program), "podman") {
		arguments = []string{"run", "--rm", "--log-driver", "none", "--cgroups", "disabled", "--network", driver, "-p", published, "--rootfs", root, "/network", "-serve"}
	}
	c := exec.Command(program, arguments...)
	c.Stderr = os.Stderr
	return c, c.Start()
}

// measure runs one container.
func measure(program, driver, root string) (n numbers, err error) {
	begun := time.Now()
	c, err := start(program, driver, root)
	if err != nil {
		return n, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for answered := false; !answered; {
		_, err := ask("byte", limit)
		answered = err == nil
		select {
		case err := <-ended:
			return n, fmt.Errorf("ended: %w", err)
		case <-time.After(500 * time.Microsecond): // the port may be there before the program
		}
	}
	n[0] = float64(time.Since(begun).Microseconds()) / 1000
	n[1], n[2] = throughput("down"), throughput("up")
	n[3], n[4] = crowd()
	if _, err := ask("quit", limit); err != nil {
		return n, errors.Join(err, c.Process.Kill())
	}
	return n, <-ended
}
