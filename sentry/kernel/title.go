package kernel

import "strings"

// maxTitle is how much of a command line the host is told, in bytes.
const maxTitle = 4000

// ShowOnHost has the host's list of processes show tg's name and command line as they are now
// (platform.Titled), and returns the host's process that runs it, by the number that the sentry
// knows it by: 0 if tg has ended, or the platform has none.
func (tg *ThreadGroup) ShowOnHost() (pid int) {
	t := tg.Leader()
	m, image := t.MM(), t.Image()
	if m == nil || image == nil || !m.TryIncUsers() {
		return 0
	}
	defer m.DecUsers()
	line := make([]byte, min(image.ArgEnd-image.ArgStart, maxTitle))
	n, _ := m.ForContext(nil).CopyIn(line, image.ArgStart)
	text := strings.TrimRight(string(line[:n]), "\x00")
	return m.SetTitle(t.Comm(), strings.ReplaceAll(text, "\x00", " "))
}
