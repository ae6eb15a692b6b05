package spec

// Keys are the places of a home, below it, where programs keep keys, tokens and
// what opens them. They are covered wherever a container sees the home they are in.
// A directory that is only partly secret is listed by its secret parts.
func Keys() []string {
	return []string{
		// Of people: shells, mail, passwords.
		".ssh", ".gnupg", ".pki", ".password-store", ".netrc", ".authinfo", ".authinfo.gpg", ".git-credentials", ".config/git/credentials",
		".local/share/keyrings", ".local/share/kwalletd", ".config/keepassxc", ".config/sops", ".config/age", ".config/op", ".config/1Password", ".1password",
		".config/Bitwarden", ".config/Bitwarden CLI", ".config/rclone", ".config/msmtp", ".msmtprc", ".mutt", ".config/neomutt",
		// Of clouds, clusters and registries.
		".aws", ".azure", ".config/gcloud", ".boto", ".s3cfg", ".config/doctl", ".config/hcloud", ".oci", ".config/linode-cli", ".fly",
		".kube", ".docker", ".colima", ".lima", ".rd", ".orbstack", ".config/containers/auth.json", ".config/helm", ".vault-token", ".terraform.d/credentials.tfrc.json", ".terraformrc", ".ansible",
		".config/gh", ".config/glab-cli", ".config/hub", ".config/github-copilot", ".config/heroku", ".config/netlify", ".config/vercel",
		// Of package managers and databases.
		".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".m2/settings.xml",
		".m2/settings-security.xml", ".gradle/gradle.properties", ".composer/auth.json", ".config/composer/auth.json", ".nuget/NuGet/NuGet.Config",
		".pgpass", ".my.cnf", ".mylogin.cnf", ".rediscli_auth",
		// Profiles of browsers, mail readers and messengers: cookies open accounts.
		".mozilla", ".config/mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge",
		".config/vivaldi", ".config/opera", ".librewolf", ".config/epiphany", ".local/share/epiphany", ".var/app", "snap",
		".config/Slack", ".config/discord", ".config/Signal", ".local/share/TelegramDesktop", ".config/Element",
		// Of assistants and wallets.
		".claude", ".claude.json", ".codex", ".gemini", ".config/anthropic", ".config/openai", ".bitcoin", ".ethereum", ".electrum",
	}
}

// MovedDirectories are the environment variables that name a directory in place of one of
// the home, in which Keys has places.
func MovedDirectories() map[string]string {
	return map[string]string{"XDG_CONFIG_HOME": ".config/", "XDG_DATA_HOME": ".local/share/", "CARGO_HOME": ".cargo/",
		"GRADLE_USER_HOME": ".gradle/", "COMPOSER_HOME": ".composer/", "CODEX_HOME": ".codex/"}
}

// MovedKeys are the environment variables that name a place of keys itself, or several with
// colons between.
func MovedKeys() []string {
	return []string{"GNUPGHOME", "PASSWORD_STORE_DIR", "NETRC", "SOPS_AGE_KEY_FILE", "RCLONE_CONFIG", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
		"AZURE_CONFIG_DIR", "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "BOTO_CONFIG", "KUBECONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE",
		"TF_CLI_CONFIG_FILE", "GH_CONFIG_DIR", "GLAB_CONFIG_DIR", "NPM_CONFIG_USERCONFIG", "npm_config_userconfig", "PGPASSFILE", "CLAUDE_CONFIG_DIR",
		"MYSQL_TEST_LOGIN_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "HELM_CONFIG_HOME", "HELM_REGISTRY_CONFIG", "HCLOUD_CONFIG", "OCI_CLI_CONFIG_FILE", "FLY_CONFIG_DIR",
		"ANSIBLE_HOME", "COLIMA_HOME", "LIMA_HOME", "OP_CONFIG_DIR", "BITWARDENCLI_APPDATA_DIR", "HUB_CONFIG"}
}

// Sockets are those of services that make who may write to them root of the machine, or
// as good as that, in places that are not private to a container on the host's files. A
// read-only mount does not keep anybody from connecting to a socket.
func Sockets() [6]string {
	return [...]string{"/var/lib/incus/unix.socket", "/var/lib/incus/unix.socket.user", "/var/lib/lxd/unix.socket",
		"/var/snap/lxd/common/lxd/unix.socket", "/var/snap/lxd/common/lxd-user/unix.socket", "/var/snap/docker/common/run/docker.sock"}
}
