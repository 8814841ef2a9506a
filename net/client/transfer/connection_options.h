// How libcurl connects to a server: for the requests of the loop and for probes.
#pragma once

#include <curl/curl.h>

#include <string>

#include "net/client/address.h"
#include "net/client/replicas.h"

namespace sidecall::net {

// Initializes libcurl once in each process. Returns false if there is no memory for that.
bool start_libcurl() noexcept;

// The file with the certificates of the authorities that are trusted without the option `ca`: that
// of SSL_CERT_FILE, or that of this system. "" if there is none.
const std::string& default_ca();

// Sets the options that say where and how to connect. `pin` and the texts must stay valid until the
// transfer ends.
CURLcode set_connection(CURL* handle, const Address& address, const Replica& replica,
                        const std::string& path, curl_slist* pin);

}  // namespace sidecall::net
