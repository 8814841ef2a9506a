package dev.sidecall;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

/** Finds and loads libsidecall, once. */
@SuppressWarnings("restricted") // see module-info.java
final class Library {
  private static final String FILE = "libsidecall.so";

  private static final SymbolLookup SYMBOLS;
  private static final SidecallException FAILURE;

  static {
    SymbolLookup found = null;
    SidecallException failure = null;
    try {
      found = find();
      check(found);
    } catch (SidecallException e) {
      failure = e;
    } catch (IllegalCallerException e) {
      failure =
          SidecallException.refuse(
              Code.DENIED,
              "native access: expected the option --enable-native-access=ALL-UNNAMED, or"
                  + " --enable-native-access=dev.sidecall if the jar is on the module path, got"
                  + " none");
    }
    SYMBOLS = found;
    FAILURE = failure;
  }

  private Library() {}

  /**
   * Returns the functions of the library.
   *
   * @throws SidecallException FILE_NOT_FOUND, with the places where it looked; UNSUPPORTED if it
   *     is too old; DENIED if Java does not allow native access
   */
  static SymbolLookup symbols() {
    if (FAILURE != null) {
      throw FAILURE.here();
    }
    return SYMBOLS;
  }

  /** Refuses a library that lacks functions, or in which structs have another layout. */
  private static void check(SymbolLookup symbols) {
    Linker linker = Linker.nativeLinker();
    MemorySegment abiVersion = symbols.find("sidecall_abi_version").orElseThrow(Library::tooOld);
    MemorySegment structSize = symbols.find("sidecall_struct_size").orElseThrow(Library::tooOld);
    MethodHandle version =
        linker.downcallHandle(abiVersion, FunctionDescriptor.of(ValueLayout.JAVA_INT));
    MethodHandle size =
        linker.downcallHandle(
            structSize, FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS));
    try (Arena arena = Arena.ofConfined()) {
      if ((int) version.invokeExact() < Header.ABI_VERSION
          || (long) size.invokeExact(arena.allocateFrom("sidecall_value")) != Header.Value.SIZE
          || (long) size.invokeExact(arena.allocateFrom("sidecall_tensor_spec"))
              < Header.TensorSpec.SIZE
          || (long) size.invokeExact(arena.allocateFrom("sidecall_feature_spec"))
              < Header.FeatureSpec.SIZE
          || (long) size.invokeExact(arena.allocateFrom("sidecall_column_spec"))
              < Header.ColumnSpec.SIZE
          || (long) size.invokeExact(arena.allocateFrom("sidecall_text")) < Header.Text.SIZE) {
        throw tooOld();
      }
    } catch (SidecallException e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  private static SidecallException tooOld() {
    return SidecallException.refuse(
        Code.UNSUPPORTED,
        FILE
            + ": the library is too old: install one with ABI "
            + Header.ABI_VERSION
            + " or newer");
  }

  private static SymbolLookup find() {
    List<String> tried = new ArrayList<>();
    SymbolLookup found = find(tried);
    if (found != null) {
      return found;
    }
    throw SidecallException.refuse(
        Code.FILE_NOT_FOUND,
        "no "
            + FILE
            + " was found; set the system property sidecall.library or the environment variable"
            + " SIDECALL_LIBRARY to its path; looked at: "
            + String.join("; ", tried));
  }

  private static SymbolLookup find(List<String> tried) {
    String property = System.getProperty("sidecall.library");
    if (property != null && !property.isEmpty()) {
      return load(Path.of(property), "the system property sidecall.library", tried);
    }
    String variable = System.getenv("SIDECALL_LIBRARY");
    if (variable != null && !variable.isEmpty()) {
      return load(Path.of(variable), "the environment variable SIDECALL_LIBRARY", tried);
    }
    // The jar with the library is a module of its own, so its class loader is asked.
    String resource = "dev/sidecall/native/linux-" + architecture() + "/" + FILE;
    SymbolLookup found = null;
    try (InputStream packed = Library.class.getClassLoader().getResourceAsStream(resource)) {
      if (packed == null) {
        tried.add("no jar has " + resource);
      } else {
        found = load(unpack(packed.readAllBytes()), "the jar", tried);
      }
    } catch (IOException | SecurityException e) {
      tried.add("the jar: " + e);
    }
    for (String folder : System.getProperty("java.library.path", "").split(":")) {
      if (found == null && !folder.isEmpty()) {
        found = load(Path.of(folder, FILE), "java.library.path", tried);
      }
    }
    return found != null ? found : loadByName(tried);
  }

  private static String architecture() {
    String name = System.getProperty("os.arch");
    return name.equals("amd64") ? "x86_64" : name;
  }

  private static SymbolLookup load(Path path, String source, List<String> tried) {
    if (!Files.isRegularFile(path)) {
      tried.add(source + ": no file " + path);
      return null;
    }
    try {
      return SymbolLookup.libraryLookup(path.toAbsolutePath(), Arena.global());
    } catch (IllegalArgumentException e) {
      tried.add(source + ": " + path + " cannot be loaded");
      return null;
    }
  }

  /** The search of the dynamic loader, first for the name that an installation has. */
  private static SymbolLookup loadByName(List<String> tried) {
    for (String name : new String[] {FILE + ".0", FILE}) {
      try {
        return SymbolLookup.libraryLookup(name, Arena.global());
      } catch (IllegalArgumentException e) {
        tried.add("the dynamic loader does not find " + name);
      }
    }
    return null;
  }

  /** Writes the library of the jar to a file of this user, unless it is there already. */
  private static Path unpack(byte[] content) throws IOException {
    String digest;
    try {
      digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    } catch (NoSuchAlgorithmException e) {
      throw new IOException(e);
    }
    IOException last = null;
    for (Path base : folders()) {
      try {
        Path folder = base.resolve("java-" + digest);
        Files.createDirectories(base.getParent());
        makePrivate(base);
        makePrivate(folder);
        Path file = folder.resolve(FILE);
        if (!holds(file, content)) {
          write(file, content);
        }
        return file;
      } catch (IOException | UnsupportedOperationException e) {
        last = new IOException(base + ": " + e, e);
      }
    }
    throw last;
  }

  private static List<Path> folders() {
    List<Path> folders = new ArrayList<>();
    String cache = System.getenv("XDG_CACHE_HOME");
    if (cache != null && cache.startsWith("/")) {
      folders.add(Path.of(cache, "sidecall"));
    }
    String home = System.getProperty("user.home", "");
    if (home.startsWith("/")) { // it is "?" for a user without an account
      folders.add(Path.of(home, ".cache", "sidecall"));
    }
    String user = System.getProperty("user.name");
    folders.add(Path.of(System.getProperty("java.io.tmpdir"), "sidecall-" + user));
    return folders;
  }

  /**
   * Makes a folder in which only this user may write. In the folder of another user, that user
   * could replace the library.
   */
  private static void makePrivate(Path folder) throws IOException {
    Set<PosixFilePermission> mode = PosixFilePermissions.fromString("rwx------");
    if (!Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
      try {
        Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(mode));
      } catch (java.nio.file.FileAlreadyExistsException e) {
        // Another process was faster. What it has made is checked below.
      }
    }
    PosixFileAttributes found =
        Files.readAttributes(folder, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
    if (!found.isDirectory() || !isOwn(folder)) {
      throw new IOException("expected a folder of this user");
    }
    if (!found.permissions().equals(mode)) {
      Files.setPosixFilePermissions(folder, mode);
    }
  }

  private static boolean isOwn(Path path) throws IOException {
    Object owner = Files.getAttribute(path, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    return owner.equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
  }

  private static boolean holds(Path file, byte[] content) throws IOException {
    return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
        && isOwn(file)
        && Files.size(file) == content.length
        && Arrays.equals(Files.readAllBytes(file), content);
  }

  /** Another process may do the same at once, so the file appears complete. */
  private static void write(Path file, byte[] content) throws IOException {
    Path temporary = Files.createTempFile(file.getParent(), "new", ".so");
    try {
      Files.write(temporary, content);
      Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }
}
