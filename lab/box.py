"""The installed machine as a Vagrant box: a tar of its disk, its kernel and two small files, for the libvirt provider.

The image has no boot loader (qemu starts its kernel directly), so the box brings kernel and initial ram disk, which vagrant-libvirt
starts the same way. Rejected for now: a boot loader on the disk, which VirtualBox would need (README says what to do there).
Vagrant comes in by ssh, which the lab itself does not: the box brings a key made with it, which `vagrant up` replaces by one that nobody
else has at the first start.
"""

import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from lab.image import SIZE, base
from lab.machine import CACHE, COMMAND_LINE, Machine

OPEN = """
id vagrant >/dev/null 2>&1 || useradd -m -s /bin/bash -G dynod vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
rm -f /srv/out/key*
ssh-keygen -q -t ed25519 -N '' -C 'the first key of this box' -f /srv/out/key
cp /srv/out/key.pub /home/vagrant/.ssh/authorized_keys
chown vagrant: /home/vagrant/.ssh/authorized_keys
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
sed -i '/ 9p /d' /etc/fstab
rm -f /etc/systemd/system/ssh.service
ssh-keygen -A >/dev/null
systemctl enable -q ssh.service
systemctl disable -q lab-agent.service
printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/lab.network
systemctl enable -q systemd-networkd.service
rm -f /etc/pip.conf
sync
"""
VAGRANTFILE = f"""Vagrant.configure("2") do |config|
  config.ssh.private_key_path = File.expand_path("../key", __FILE__)
  config.vm.provider :libvirt do |libvirt|
    libvirt.kernel = File.expand_path("../vmlinuz", __FILE__)
    libvirt.initrd = File.expand_path("../initrd", __FILE__)
    libvirt.cmd_line = "{COMMAND_LINE}"
    libvirt.disk_bus = "virtio"
  end
end
"""


def pack(installed: Path, target: Path) -> str:
    """Write the box to `target` and return a sentence about it."""
    made = base(CACHE)
    machine = Machine(CACHE / "box", backing=installed)
    subprocess.run(["rm", "-rf", str(machine.home)], check=True)
    try:
        machine.start()
        machine.sh(OPEN)
        machine.stop()
        with tempfile.TemporaryDirectory(prefix="box-", dir=CACHE) as work:
            disk = f"{work}/box.img"
            subprocess.run(
                ["qemu-img", "convert", "-c", "-O", "qcow2", str(machine.home / "disk.qcow2"), disk],
                check=True,
            )
            size = int(SIZE.removesuffix("G"))
            (Path(work) / "metadata.json").write_text(
                json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": size})
            )
            (Path(work) / "Vagrantfile").write_text(VAGRANTFILE)
            with tarfile.open(target, "w") as box:
                for name in ("metadata.json", "Vagrantfile", "box.img"):
                    box.add(f"{work}/{name}", name)
                box.add(machine.out / "key", "key")
                box.add(made.kernel, "vmlinuz")
                box.add(made.initrd, "initrd")
    finally:
        machine.close()
    return f"{target}, {target.stat().st_size // 1024**2} MB; next: vagrant box add --name dynod/lab {target}"
