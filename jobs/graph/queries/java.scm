(class_declaration name: (identifier) @definition.class)
(interface_declaration name: (identifier) @definition.interface)
(annotation_type_declaration name: (identifier) @definition.interface)
(enum_declaration name: (identifier) @definition.enum)
(record_declaration name: (identifier) @definition.class)
(method_declaration name: (identifier) @definition.function)

(package_declaration (_) @package)
(import_declaration) @import

(type_identifier) @use
(marker_annotation name: (identifier) @use)
(annotation name: (identifier) @use)
(method_invocation !object name: (identifier) @use)
(method_invocation object: (identifier) @use)
(method_invocation object: (_) name: (identifier) @use.member)
(field_access object: (identifier) @use)
