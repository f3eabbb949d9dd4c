package docker

import "testing"

// imageCases build images with the runtime under test as the daemon's default one.
var imageCases = []sameCase{
	{"build", `printf 'FROM bb\nRUN echo x >/x && echo built:x:77:77::/:/bin/sh >>/etc/passwd && id built\nRUN cat /x >>/y; mkdir -p /a/b; touch -d 2001-02-03 /a/b\nENV E=f\nWORKDIR /a\nUSER built\nCOPY f /f\nRUN test $(id -u) = 77 && cat /f\nCMD ["sh","-c","id -un; pwd; cat /x /y /f; env | grep ^E; stat -c %%y /a/b | cut -c1-10"]\n' >Dockerfile; echo copied >f
docker build -q -t img-$N . >/dev/null && run --rm img-$N; docker rmi -f img-$N >/dev/null`},
	{"build that fails", `printf 'FROM bb\nRUN echo before; exit 3\nRUN echo after\n' >Dockerfile; docker build --force-rm . 2>&1 | grep -E '^(before|after|The command)'`},
	{"build from many steps", `printf 'FROM bb AS one\nARG V=1\nRUN i=0; while [ $i -lt 300 ]; do echo $i-$V >/tmp/$i; i=$((i+1)); done\nRUN tar -C /tmp -c . | md5sum >/dev/null; rm /tmp/1?; ln -s 2 /tmp/link; ln /tmp/3 /tmp/hard; chmod 600 /tmp/4; chown 5:6 /tmp/5\nFROM bb\nCOPY --from=one /tmp /copied\nVOLUME /v\nRUN ls /copied | wc -l && mv /copied /moved\nHEALTHCHECK NONE\nENTRYPOINT ["sh","-c"]\n' >Dockerfile
docker build -q --build-arg V=2 -t img-$N . >/dev/null; run --rm img-$N 'ls -ln /moved | tr -s " " | cut -d" " -f1-5 | md5sum; ls /moved | wc -l; cat /moved/20 /moved/link; stat -c "%a %u %g %h" /moved/3 /moved/4 /moved/5; grep -c " /v " /proc/mounts'; docker rmi -f img-$N >/dev/null`},
	{"build with packages", `cp $DEBS/*.deb .; printf 'FROM debian\nCOPY *.deb /debs/\nRUN dpkg -i /debs/*.deb >/log 2>&1 || { cat /log; exit 1; }\nRUN dpkg-query -Wf "\\${Package} \\${Status}\\\\n" vim-common vim-tiny && useradd -m -s /bin/bash someone && su someone -c "id -un; pwd"\nRUN rm -r /debs && apt-get clean && dpkg --audit && dpkg -V vim-tiny\n' >Dockerfile
docker build -q -t img-$N . >/dev/null && run --rm img-$N sh -c 'echo "text" >/f; vim.tiny -es -c "s/text/edited/" -c wq /f; cat /f; ls /debs; update-alternatives --query vi | grep ^Value; stat -c "%U %a" /home/someone'; docker rmi -f img-$N >/dev/null`},
}

func TestBuild(t *testing.T) {
	for i, c := range imageCases {
		t.Run(c.name, func(t *testing.T) {
			said := map[string]string{}
			for _, runtime := range []string{"runc", "runsc"} {
				if err := daemon.SetDefault(runtime); err != nil {
					t.Fatal(err)
				}
				said[runtime] = script(t, 1000+i, runtime, c.script)
			}
			if said["runsc"] != said["runc"] {
				t.Errorf("runsc:\n%s\nrunc:\n%s", said["runsc"], said["runc"])
			}
		})
	}
}
