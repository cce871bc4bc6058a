/// The unit that `mayfly install` writes: mayfly@.service.
enum SystemdUnit {
    static let name = "mayfly@.service"

    /// - Parameter binary: the absolute path of the command.
    static func text(binary: String) -> String {
        """
        # A mount that lives with the machine: /mnt/fast is mayfly@mnt-fast.service.
        #
        #     systemctl enable --now "mayfly@$(systemd-escape --path /mnt/fast).service"
        #
        # /etc/mayfly/mnt-fast.conf, where there is one, has
        #
        #     MAYFLY_OPTIONS=--size 4g --from /var/lib/mayfly/fast.mayfly     options of `mayfly mount`
        #     MAYFLY_SAVE=/var/lib/mayfly/fast.mayfly                         where the tree is kept at the end

        [Unit]
        Description=Mayfly file system in memory on %f
        Documentation=man:mayfly-mount(1)
        RequiresMountsFor=%f
        Before=local-fs.target umount.target
        Conflicts=umount.target
        DefaultDependencies=no

        [Service]
        # READY=1 comes when the mount answers, STOPPING=1 when it is being ended.
        Type=notify
        # With --survive it is the guardian's child that says so.
        NotifyAccess=all
        EnvironmentFile=-/etc/mayfly/%i.conf
        ExecStartPre=/bin/mkdir -p %f
        ExecStart=\(binary) mount --foreground $MAYFLY_OPTIONS %f
        # A save that fails leaves what was saved before, and the mount ends all the same.
        ExecStop=/bin/sh -c 'test -z "$$MAYFLY_SAVE" || exec \(binary) save "$$1" "$$MAYFLY_SAVE"' sh %f
        # What a server that was killed has left.
        ExecStopPost=-/bin/umount --lazy --quiet %f
        # SIGTERM unmounts in order; a busy mount is detached and ends with its last user.
        KillMode=mixed
        TimeoutStopSec=90
        OOMScoreAdjust=-500

        # Nothing that gives the service a mount namespace: nobody else would see the mount.
        NoNewPrivileges=yes
        CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_MKNOD CAP_SETFCAP CAP_SYS_PTRACE CAP_SYS_RESOURCE CAP_SYS_NICE CAP_IPC_LOCK CAP_KILL
        RestrictAddressFamilies=AF_UNIX
        IPAddressDeny=any
        RestrictNamespaces=yes
        RestrictRealtime=yes
        RestrictSUIDSGID=yes
        LockPersonality=yes
        MemoryDenyWriteExecute=yes
        KeyringMode=private
        UMask=0077
        DevicePolicy=closed
        DeviceAllow=/dev/fuse rw
        SystemCallArchitectures=native
        SystemCallFilter=@system-service @mount io_uring_setup io_uring_enter io_uring_register
        SystemCallErrorNumber=EPERM

        [Install]
        WantedBy=multi-user.target

        """
    }
}
