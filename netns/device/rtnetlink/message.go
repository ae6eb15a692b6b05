package rtnetlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// request builds a netlink message: netlink(7), rtnetlink(7).
type request struct{ b []byte }

// newRequest begins a message whose fixed part is body.
func newRequest(kind, flags uint16, body []byte) *request {
	r := &request{b: make([]byte, unix.NLMSG_HDRLEN, 128)}
	binary.NativeEndian.PutUint16(r.b[4:], kind)
	binary.NativeEndian.PutUint16(r.b[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(r.b[8:], 1)
	r.b = append(r.b, body...)
	return r
}

// attribute appends an attribute.
func (r *request) attribute(kind uint16, value []byte) {
	head := make([]byte, 4)
	binary.NativeEndian.PutUint16(head, uint16(4+len(value)))
	binary.NativeEndian.PutUint16(head[2:], kind)
	r.b = append(append(r.b, head...), value...)
	for len(r.b)%4 != 0 {
		r.b = append(r.b, 0)
	}
}

// linkBody is a struct ifinfomsg.
func linkBody(index, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

func word(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// converse sends a message and calls each with the body of every answer. The
// kernel's error is the result.
func converse(socket int, r *request, each func(kind uint16, body []byte)) error {
	binary.NativeEndian.PutUint32(r.b, uint32(len(r.b)))
	if err := unix.Sendto(socket, r.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(socket, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if done, err := answers(buf[:n], each); done {
			return err
		}
	}
}

// answers walks through the messages of one datagram.
func answers(b []byte, each func(kind uint16, body []byte)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, unix.EBADMSG
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:size]
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return true, unix.EBADMSG
			}
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		default:
			each(kind, body)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// nlaTypeMask is NLA_TYPE_MASK: the other bits are flags.
const nlaTypeMask = 0x3fff

// attributes lists the attributes after a fixed part.
func attributes(b []byte) map[uint16][]byte {
	list := map[uint16][]byte{}
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			break
		}
		list[binary.NativeEndian.Uint16(b[2:])&nlaTypeMask] = b[4:size]
		b = b[min((size+3)&^3, len(b)):]
	}
	return list
}
