"""The installed machine as a Vagrant box: a tar of its disk, its kernel and two small files, for the libvirt provider.

The image has no boot loader (qemu starts its kernel directly), so the box brings kernel and initial ram disk, which vagrant-libvirt
starts the same way. The disk is opened to Vagrant without a start of it: minutes less where there is no KVM. Rejected for now: a boot
loader on the disk, which VirtualBox would need (README says what to do there).
Vagrant comes in by ssh, which the lab itself does not: the box brings a key made with it, which `vagrant up` replaces by one that nobody
else has at the first start.
"""

import json
import tarfile
import tempfile
from pathlib import Path

from lab.image import SIZE, base, tool
from lab.machine import CACHE, COMMAND_LINE

# The image names the resolver of qemu's user network, the box whichever its network tells by DHCP.
RESOLVERS = "sed -n s/^DNS=//p {state} | xargs -rn1 echo nameserver"
RESOLVER_UNIT = f"""[Unit]
Description=name servers as the network tells them
Wants=network-online.target
After=network-online.target
Before=dyno-net.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c "{RESOLVERS.format(state="/run/systemd/netif/state")} >/etc/resolv.conf"
[Install]
WantedBy=multi-user.target
"""
OPEN = f"""set -e
useradd -m -s /bin/bash -G dynod vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
ssh-keygen -q -t ed25519 -N '' -C 'the first key of this box' -f /root/key
install -m 0600 -o vagrant -g vagrant /root/key.pub /home/vagrant/.ssh/authorized_keys
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
sed -i '/ 9p /d' /etc/fstab
rm -f /etc/systemd/system/ssh.service
ssh-keygen -A >/dev/null
systemctl enable -q ssh.service
systemctl disable -q lab-agent.service
printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/lab.network
systemctl enable -q systemd-networkd.service
rm -f /etc/resolv.conf
cat >/etc/systemd/system/box-resolver.service <<'END'
{RESOLVER_UNIT}END
systemctl enable -q box-resolver.service
rm -f /etc/pip.conf
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
    """Write the box to `target` and return a sentence about it; raise CannotBuild."""
    made = base(CACHE)
    with tempfile.TemporaryDirectory(prefix="box-", dir=CACHE) as made_in:
        work = Path(made_in)
        tool("qemu-img", "convert", "-O", "raw", str(installed), f"{work}/raw")
        # In a mount namespace: whatever ends this, nothing stays mounted. A clean unmount, so that the file holds all of it.
        inside = 'mkdir tree && mount -o loop raw tree && chroot tree /bin/sh -c "$SCRIPT" && mv tree/root/key . && rm tree/root/key.pub && umount tree'
        tool("unshare", "--mount", "sh", "-c", f"cd {work} && {inside}", SCRIPT=OPEN, HOME="/root")
        tool("qemu-img", "convert", "-c", "-O", "qcow2", f"{work}/raw", f"{work}/box.img")
        size = int(SIZE.removesuffix("G"))
        (work / "metadata.json").write_text(
            json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": size})
        )
        (work / "Vagrantfile").write_text(VAGRANTFILE)
        with tarfile.open(target, "w") as box:
            for name in ("metadata.json", "Vagrantfile", "box.img", "key"):
                box.add(work / name, name)
            box.add(made.kernel, "vmlinuz")
            box.add(made.initrd, "initrd")
    return f"{target}, {target.stat().st_size // 1024**2} MB; next: vagrant up --provider libvirt"
