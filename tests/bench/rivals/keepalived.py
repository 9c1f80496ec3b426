"""keepalived as a contender: one VRRP instance on three hosts, whose notify script starts and stops the program.

No host is preferred to one that leads (`nopreempt`), as with the other contenders. The hosts know each other's addresses
(`unicast_peer`), so that the same silent cuts work on all contenders. The rest is keepalived's default.
"""

from tests.bench.rivals.contender import HOSTS, Contender, terminate
from tests.bench.rivals.programs import environment, find

#: A host takes over when it has heard nothing for three advertisements and up to one more, by its priority (RFC 5798).
ADVERTS_OF_SILENCE = 4

CONFIGURATION = """\
global_defs {{
    router_id host{index}
    script_user root
}}
vrrp_instance keeper {{
    state BACKUP
    nopreempt
    interface eth0
    version 3
    virtual_router_id 77
    priority {priority}
    advert_int {advert_seconds}
    unicast_src_ip {address}
    unicast_peer {{
        {peers}
    }}
    virtual_ipaddress {{
        10.77.0.100/24
    }}
    notify {script}
    notify_stop "{script} INSTANCE keeper STOP"
}}
"""

#: The lock lets two changes that follow at once be done one after the other. The last word is the priority.
SCRIPT = """\
#!/bin/sh
cd {folder} || exit
exec 9>lock
flock 9
echo "$3" >>states
if [ -e pid ]; then
    kill "$(cat pid)"
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.01; done
    rm pid
fi
if [ "$3" = MASTER ]; then
    setsid {program} </dev/null >>output 2>&1 9>&- &
    echo $! >pid
fi
"""


class Keepalived(Contender):
    """keepalived, with advertisements each so many seconds; its default is one."""

    programs = ("keepalived", "flock")

    def __init__(self, folder, network, advert_seconds):
        super().__init__(folder, network, ADVERTS_OF_SILENCE * advert_seconds)
        self._advert_seconds = advert_seconds
        self._daemons = {}
        for index in range(HOSTS):
            self._configure(index)

    def _configure(self, index):
        folder = self.host_folder(index)
        script = folder / "notify"
        script.write_text(SCRIPT.format(folder=folder, program=" ".join(self.program(index))))
        script.chmod(0o755)
        (folder / "keepalived.conf").write_text(
            CONFIGURATION.format(
                index=index,
                priority=100 - index,
                advert_seconds=self._advert_seconds,
                address=self.network.hosts[index],
                peers="\n        ".join(
                    host for host in self.network.hosts if host != self.network.hosts[index]
                ),
                script=script,
            )
        )

    def start_host(self, index):
        """Start keepalived with the files of this host alone, what an earlier one left taken away."""
        folder = self.host_folder(index)
        for name in ("pid", "states", "main.pid", "vrrp.pid"):
            (folder / name).unlink(missing_ok=True)
        argv = [find("keepalived"), "--dont-fork", "--log-console", "--log-detail", "--vrrp"]
        argv += [
            f"--use-file={folder}/keepalived.conf",
            f"--pid={folder}/main.pid",
            f"--vrrp_pid={folder}/vrrp.pid",
        ]
        self._daemons[index] = self.spawn(index, argv, environment())

    def daemon_pid(self, index):
        """Return keepalived's main process, which has a child that speaks VRRP."""
        return self._daemons[index].pid

    def stop_host(self, index):
        """Stop keepalived by SIGTERM."""
        terminate(self.daemon_pid(index))

    def are_ready(self):
        """Whether each host has come to its place in VRRP."""
        return all(self._states(index)[-1:] in (["MASTER"], ["BACKUP"]) for index in range(HOSTS))

    def _states(self, index):
        path = self.host_folder(index) / "states"
        return path.read_text().split() if path.exists() else []
